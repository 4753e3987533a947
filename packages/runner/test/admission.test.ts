import { codeOf } from '@greenroom/proto'
import { describe, expect, test } from 'vitest'
import { Admission, type Permit, type Ticket } from '../src/admission.ts'

const idle = new AbortController().signal
let roots = 0
const ticket = (more: Partial<Ticket> = {}): Ticket => ({
  depth: 0,
  priority: 0,
  root: `root ${(roots += 1)}`,
  ...more,
})

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

  test('who comes back from waiting is one of those that may execute', async () => {
    const admission = new Admission({ maxExecuting: 1, queue: 10 })
    const { order, enter, leave } = caller(admission)
    await enter('a')
    void enter('new')
    void enter('back', { returns: true })
    await Promise.resolve()
    expect([order, admission.executing, admission.waiting]).toEqual([['a'], 1, 2])
    await leave('a')
    expect([order, admission.executing, admission.waiting]).toEqual([['a', 'back'], 1, 1])
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

  test('a root of which fewer execute comes first, then one of which none was let in for longer', async () => {
    const admission = new Admission({ maxExecuting: 4, queue: 1_000 })
    const { order, enter, leave } = caller(admission)
    const many = Array.from({ length: 100 }, (_, n) => `a${n}`)
    for (const name of many) void enter(name, { root: 'A', depth: 1 })
    await Promise.resolve()
    for (const name of ['b0', 'b1', 'b2']) void enter(name, { root: 'B', depth: 1 })
    for (const name of ['a0', 'a1', 'a2', 'a3']) await leave(name)
    // Two of each, whatever of A came before.
    expect(order.slice(4)).toEqual(['b0', 'b1', 'a4', 'a5'])

    const single = new Admission({ maxExecuting: 1, queue: 1_000 })
    const one = caller(single)
    for (const name of many) void one.enter(name, { root: 'A', depth: 1 })
    await Promise.resolve()
    for (const name of ['b0', 'b1', 'b2']) void one.enter(name, { root: 'B', depth: 1 })
    for (let n = 0; n < 6; n += 1) await one.leave(one.order.at(-1) ?? '')
    expect(one.order).toEqual(['a0', 'a1', 'b0', 'a2', 'b1', 'a3', 'b2'])
  })

  test('a tree that grows and grows keeps no new root out, and priority is what it was', async () => {
    const admission = new Admission({ maxExecuting: 1, queue: 1_000 })
    const { order, enter, leave } = caller(admission)
    let born = 0
    const grow = (depth: number, priority = 0): void => {
      for (let n = 0; n < 2; n += 1) void enter(`deep${(born += 1)}`, { root: 'A', depth, priority })
    }
    grow(1)
    await Promise.resolve()
    const roots = ['new1', 'new2', 'new3']
    for (const name of roots) void enter(name)
    void enter('unimportant', { priority: -1 })
    for (let step = 0; step < 40; step += 1) {
      grow(2 + step)
      await leave(order.at(-1) ?? '')
    }
    expect(roots.map((name) => order.indexOf(name))).toEqual([8, 16, 24])
    expect(order).not.toContain('unimportant')
    // Who comes back takes nobody's turn: that is only put off.
    void enter('last')
    const back = Array.from({ length: 20 }, (_, step) => `back${step}`)
    for (const name of back) void enter(name, { root: 'A', returns: true })
    for (let step = 0; step < 21; step += 1) await leave(order.at(-1) ?? '')
    expect(order.slice(-21)).toEqual([...back, 'last'])
  })

  test('while processes are scarce no tree has its turn: what was begun is finished first', async () => {
    const admission = new Admission({ maxExecuting: 1, queue: 1_000 })
    const { order, enter, leave } = caller(admission)
    let isScarce = true
    admission.isScarce = () => isScarce
    for (let n = 0; n < 20; n += 1) void enter(`deep${n}`, { root: 'A', depth: 1 })
    await Promise.resolve()
    void enter('new')
    for (let n = 0; n < 10; n += 1) await leave(order.at(-1) ?? '')
    expect([order.length, order.includes('new')]).toEqual([11, false])
    isScarce = false
    await leave(order.at(-1) ?? '')
    expect(order.at(-1)).toBe('new')
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
    const stopped = enter('b', { root: 'B' }, stop.signal).catch(codeOf)
    void enter('c')
    stop.abort()
    expect(await stopped).toBe('ABORTED')
    await leave('a')
    expect(order).toEqual(['a', 'c'])
    // Nor is its root one that has waited for longer.
    void enter('e')
    void enter('b again', { root: 'B' })
    await leave('c')
    expect(order).toEqual(['a', 'c', 'e'])
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
