import { codeOf } from '@greenroom/proto'
import { describe, expect, test } from 'vitest'
import { Admission, type Permit, type Ticket } from '../src/admission.ts'

const idle = new AbortController().signal
const ticket = (more: Partial<Ticket> = {}): Ticket => ({ depth: 0, priority: 0, ...more })

/** Lets somebody in and notes it. */
function caller(admission: Admission) {
  const order: string[] = []
  const permits = new Map<string, Permit>()
  const enter = (name: string, more: Partial<Ticket> = {}, signal = idle): Promise<void> =>
    admission.enter(ticket(more), signal).then((permit) => {
      order.push(name)
      permits.set(name, permit)
    })
  const leave = async (name: string): Promise<void> => {
    permits.get(name)?.release()
    await Promise.resolve()
    await Promise.resolve()
  }
  return { order, enter, leave }
}

describe('admission', () => {
  test('lets in no more than may execute, in the order of arrival', async () => {
    const admission = new Admission({ maxExecuting: 2, queue: 10 })
    const { order, enter, leave } = caller(admission)
    await enter('a')
    await enter('b')
    void enter('c')
    void enter('d')
    expect([admission.executing, admission.waiting]).toEqual([2, 2])
    await leave('b')
    expect(order).toEqual(['a', 'b', 'c'])
    await leave('a')
    await leave('c')
    await leave('d')
    expect(order).toEqual(['a', 'b', 'c', 'd'])
    expect([admission.executing, admission.waiting]).toEqual([0, 0])
  })

  test('deeper ones come first, then those of higher priority', async () => {
    const admission = new Admission({ maxExecuting: 1, queue: 10 })
    const { order, enter, leave } = caller(admission)
    await enter('first')
    void enter('late')
    void enter('urgent', { priority: 5 })
    void enter('child', { depth: 1 })
    void enter('grandchild', { depth: 2, priority: -1 })
    for (const name of ['first', 'grandchild', 'child', 'urgent', 'late']) await leave(name)
    expect(order).toEqual(['first', 'grandchild', 'child', 'urgent', 'late'])
  })

  test('who shares a key that is used up is passed over, and keeps its place', async () => {
    const admission = new Admission({ maxExecuting: 3, queue: 10 })
    const { order, enter, leave } = caller(admission)
    const concurrency = { key: 'repo', limit: 1 }
    await enter('a', { concurrency })
    void enter('b', { concurrency })
    void enter('c', { concurrency })
    await enter('other')
    expect(order).toEqual(['a', 'other'])
    await leave('other')
    expect(order).toEqual(['a', 'other'])
    await leave('a')
    expect(order).toEqual(['a', 'other', 'b'])
    await leave('b')
    expect(order.at(-1)).toBe('c')
  })

  test('who stops waiting is not let in, and takes nobody else the place', async () => {
    const admission = new Admission({ maxExecuting: 1, queue: 10 })
    const { order, enter, leave } = caller(admission)
    const stop = new AbortController()
    await enter('a')
    const stopped = enter('b', {}, stop.signal).catch(codeOf)
    void enter('c')
    stop.abort()
    expect(await stopped).toBe('ABORTED')
    await leave('a')
    expect(order).toEqual(['a', 'c'])
    expect(await enter('d', {}, AbortSignal.abort()).catch(codeOf)).toBe('ABORTED')
  })

  test('refuses one more than may wait; those whose number is bounded elsewhere do not count', async () => {
    const admission = new Admission({ maxExecuting: 1, queue: 1 })
    const { enter } = caller(admission)
    await enter('a')
    void enter('b', { exempt: true })
    void enter('c')
    expect(await enter('d').catch(codeOf)).toBe('QUEUE_FULL')
    void enter('e', { exempt: true })
    expect(admission.waiting).toBe(3)
  })

  test('a permit that is released twice counts once', async () => {
    const admission = new Admission({ maxExecuting: 1, queue: 1 })
    const permit = await admission.enter(ticket(), idle)
    permit.release()
    permit.release()
    await admission.enter(ticket(), idle)
    expect(admission.executing).toBe(1)
  })

  test('zero is zero: nobody is let in', async () => {
    const admission = new Admission({ maxExecuting: 0, queue: 0 })
    await expect(admission.enter(ticket(), idle)).rejects.toMatchObject({ code: 'QUEUE_FULL' })
  })
})
