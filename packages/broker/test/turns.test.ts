import { describe, expect, test } from 'vitest'
import { Turns, type Need } from '../src/turns.ts'

interface Stage {
  readonly start: (name: string, need: Need) => void
  readonly end: (name: string) => Promise<void>
  readonly running: string[]
  readonly turns: Turns
}

/** Starts pieces of work and says which run; each ends when it is told to. */
function stage(): Stage {
  const turns = new Turns()
  const running: string[] = []
  const ends = new Map<string, () => void>()
  return {
    turns,
    running,
    start(name, need) {
      void turns.take(need, async () => {
        running.push(name)
        await new Promise<void>((resolve) => ends.set(name, resolve))
        running.splice(running.indexOf(name), 1)
      })
    },
    async end(name) {
      ends.get(name)?.()
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

describe('turns', () => {
  test('work on different keys runs at once, and starts within the call', () => {
    const { start, running } = stage()
    start('a', ['1'])
    start('b', ['2'])
    expect(running).toEqual(['a', 'b'])
  })

  test('work on the same key waits, in the order of the calls', async () => {
    const { start, end, running } = stage()
    start('a', ['1'])
    start('b', ['1', '2'])
    start('c', ['2'])
    start('d', ['3'])
    expect(running).toEqual(['a', 'd'])
    await end('a')
    start('e', ['1'])
    expect(running).toEqual(['d', 'b'])
    await end('b')
    expect(running).toEqual(['d', 'c', 'e'])
  })

  test('work that is alone waits for all before it, and all after it wait for it', async () => {
    const { start, end, running, turns } = stage()
    start('a', ['1'])
    start('alone', 'alone')
    start('next', 'alone')
    start('b', ['2'])
    expect(running).toEqual(['a'])
    await end('a')
    start('late', ['1'])
    expect(running).toEqual(['alone'])
    await end('alone')
    expect(running).toEqual(['next'])
    await end('next')
    expect(running).toEqual(['b', 'late'])
    await end('b')
    await end('late')
    expect(turns.idle).toBe(true)
  })

  test('very many may wait', { timeout: 20_000 }, async () => {
    const turns = new Turns()
    const { promise, resolve } = Promise.withResolvers<void>()
    const first = turns.take(['first'], () => promise)
    const alone = turns.take('alone', async () => {})
    let done = 0
    const all = Array.from({ length: 200_000 }, (_, index) => turns.take([`${index}`], async () => void (done += 1)))
    resolve()
    await Promise.all([first, alone, ...all])
    expect(done).toBe(200_000)
    expect(turns.idle).toBe(true)
  })

  test('work that throws lets the next in', async () => {
    const turns = new Turns()
    const failed = turns.take(['1'], () => Promise.reject(new Error('no')))
    const next = turns.take(['1'], async () => 'yes')
    await expect(failed).rejects.toThrow('no')
    expect(await next).toBe('yes')
  })
})
