/** The pool under a clock of the test's own: who leaves when, and how starts are held back. */
import { createManualClock } from '@greenroom/bus/testing'
import { codeOf, GreenroomError, type ServedExecutor } from '@greenroom/proto'
import { describe, expect, test } from 'vitest'
import { createPool, describeMiss, explainReuse, type PoolLimits, type PoolNeed } from '../src/pool/index.ts'
import { SpawnGate } from '../src/pool/spawn-gate.ts'

const never = new AbortController().signal
const random = { fraction: () => 1, id: () => 'the-key-of-the-digests' }
const standard: PoolLimits = {
  maxIdle: 16,
  maxIdlePerKey: 4,
  idleMs: 1_000,
  maxAgeMs: 10_000,
  maxUses: 100,
  maxProcesses: 32,
}

/** A process, as far as a pool sees one: it comes up at once, or never. */
class Process {
  readonly name: string
  readonly serves: readonly ServedExecutor[] = [{ name: 'work', version: '1' }]
  readonly slots: number
  readonly attached: Promise<boolean>
  readonly gone: Promise<{ message: string; error?: { code: string } }>
  readonly end: (message: string, code?: string) => void
  ending: 'retired' | 'killed' | undefined

  constructor(name: string, comesUp: boolean, slots: number) {
    this.name = name
    this.slots = slots
    const { promise, resolve } = Promise.withResolvers<{ message: string; error?: { code: string } }>()
    this.gone = promise
    this.end = (message, code) => resolve({ message, ...(code === undefined ? {} : { error: { code } }) })
    this.attached = comesUp ? Promise.resolve(true) : this.gone.then(() => false)
  }

  retire(): void {
    this.ending ??= 'retired'
    this.end('retired')
  }

  kill(): void {
    this.ending ??= 'killed'
    this.end('killed')
  }
}

function open(
  limits: Partial<PoolLimits> = {},
  comesUp: () => boolean = () => true,
  isCurrent: () => boolean = () => true,
  slots = 1,
) {
  const clock = createManualClock()
  const processes: Process[] = []
  const live = new Set<Process>()
  const warnings: string[] = []
  /** Folders for which nothing can be started. */
  const fails = new Set<unknown>()
  const pool = createPool<PoolNeed, Process>({
    limits: { ...standard, ...limits },
    spawn: ({ fixed }) => {
      if (fails.has(fixed['workspace'])) throw new GreenroomError('SPEC_TOO_LARGE')
      const process = new Process(`p${processes.length}`, comesUp(), slots)
      processes.push(process)
      live.add(process)
      void process.gone.then(() => live.delete(process))
      return process
    },
    processes: () => live.size,
    isCurrent,
    clock,
    random,
    warn: (message) => void warnings.push(message),
  })
  const need = (workspace = '/a'): PoolNeed => ({ executor: 'work', fixed: { role: 'r', workspace } })
  const use = async (workspace?: string) => {
    const lease = await pool.acquire(need(workspace), never)
    await clock.settle()
    return lease
  }
  return { clock, pool, processes, warnings, need, use, fails }
}

/** A pool whose workers have three slots. */
function openShared(limits: Partial<PoolLimits>) {
  return open(
    limits,
    () => true,
    () => true,
    3,
  )
}

/** A pool whose launcher throws. */
function openFailing() {
  const clock = createManualClock()
  const fails = { count: 0, code: 'WORKER_SPAWN_FAILED' as 'WORKER_SPAWN_FAILED' | 'SPEC_TOO_LARGE' }
  const pool = createPool<PoolNeed, Process>({
    limits: standard,
    spawn: () => {
      fails.count += 1
      throw new GreenroomError(fails.code)
    },
    processes: () => 0,
    isCurrent: () => true,
    clock,
    random,
    warn: () => undefined,
  })
  return { clock, pool, fails, need: (): PoolNeed => ({ executor: 'work', fixed: {} }) }
}

describe('idle workers', () => {
  test('the one parked last is used first', async () => {
    const { use } = open()
    const [one, two] = [await use(), await use()]
    one.release('park')
    two.release('park')
    const next = await use()
    expect([next.warm, next.worker.name]).toEqual([true, 'p1'])
    const other = await use()
    next.release('park')
    other.release('park')
    expect((await use()).worker.name).toBe('p0')
  })

  test('leave after idleMs, and no timer stays', async () => {
    const { use, clock, pool, processes } = open()
    ;(await use()).release('park')
    await clock.advance(999)
    expect(pool.stats().idle).toBe(1)
    await clock.advance(1)
    // Once it was ended it is none of the pool's any more: that its process is gone is no second end.
    expect(pool.stats()).toMatchObject({ idle: 0, ended: { idle: 1, gone: 0 } })
    expect(processes[0]?.ending).toBe('retired')
    expect(clock.timers).toEqual([])
  })

  test('begin their idle time anew with each use', async () => {
    const { use, clock, pool } = open()
    ;(await use()).release('park')
    await clock.advance(900)
    ;(await use()).release('park')
    await clock.advance(900)
    expect(pool.stats()).toMatchObject({ idle: 1, hits: 1 })
  })

  test('leave when they are old, in use only after it', async () => {
    const { use, clock, pool } = open({ idleMs: 60_000 })
    const lease = await use()
    await clock.advance(10_000)
    expect(pool.stats().busy).toBe(1)
    lease.release('park')
    expect(pool.stats()).toMatchObject({ idle: 0, ended: { age: 1 } })
    ;(await use()).release('park')
    await clock.advance(10_000)
    expect(pool.stats()).toMatchObject({ idle: 0, ended: { age: 2 } })
    // Nor has one another run beside that which it has.
    const shared = openShared({ idleMs: 60_000 })
    await shared.use()
    await shared.clock.advance(9_999)
    expect((await shared.use()).warm).toBe(true)
    await shared.clock.advance(1)
    expect((await shared.use()).warm).toBe(false)
  })

  test('leave when they are used up', async () => {
    const { use, pool } = open({ maxUses: 2 })
    ;(await use()).release('park')
    ;(await use()).release('park')
    expect(pool.stats()).toMatchObject({ idle: 0, hits: 1, ended: { uses: 1 } })
    const shared = openShared({ maxUses: 2 })
    const warm = [await shared.use(), await shared.use(), await shared.use()].map((lease) => lease.warm)
    expect(warm).toEqual([false, true, false])
  })

  test('are no more than may be alike, and no more than may be in all: the oldest go', async () => {
    const { use, processes, pool } = open({ maxIdle: 3, maxIdlePerKey: 2 })
    const alike = [await use('/a'), await use('/a'), await use('/a')]
    // They are as old as they have been idle.
    for (const at of [1, 0, 2]) alike[at]?.release('park')
    expect(processes.map(({ ending }) => ending)).toEqual([undefined, 'retired', undefined])
    const others = [await use('/b'), await use('/c')]
    for (const lease of others) lease.release('park')
    expect(processes.map(({ ending }) => ending)).toEqual(['retired', 'retired', undefined, undefined, undefined])
    expect(pool.stats()).toMatchObject({ idle: 3, ended: { full: 2 } })
  })

  test('zero is zero: a fresh one for each run', async () => {
    const { use, pool } = open({ maxIdle: 0 })
    ;(await use()).release('park')
    ;(await use()).release('park')
    expect(pool.stats()).toMatchObject({ idle: 0, hits: 0, misses: { first: 2 } })
  })

  test('what failed once, or does not answer, is used by nobody any more', async () => {
    const { use, processes } = open()
    ;(await use()).release('retire')
    ;(await use()).release('kill')
    expect((await use()).warm).toBe(false)
    expect(processes.map(({ ending }) => ending)).toEqual(['retired', 'killed', undefined])
  })

  test('one that failed a run while it had another is used by nobody any more, however the other ends', async () => {
    const { use, processes } = open({}, undefined, undefined, 2)
    const failed = await use()
    const other = await use()
    expect(other.worker).toBe(failed.worker)
    failed.release('retire')
    expect((await use()).worker).not.toBe(failed.worker)
    other.release('park')
    expect(processes[0]?.ending).toBe('retired')
  })

  test('a lease that is given back twice counts once', async () => {
    const { use, pool } = open()
    const lease = await use()
    lease.release('park')
    lease.release('kill')
    expect(pool.stats()).toMatchObject({ idle: 1, busy: 0 })
  })

  test('that end by themselves are forgotten, and told of', async () => {
    const { use, clock, processes, pool, warnings } = open()
    ;(await use()).release('park')
    processes[0]?.end('killed by somebody')
    await clock.settle()
    expect(pool.stats()).toMatchObject({ idle: 0, ended: { gone: 1 } })
    expect(warnings).toEqual(['an idle worker ended'])
    expect(clock.timers).toEqual([])
  })
})

describe('a worker with several slots', () => {
  test.for(['kill', 'hung', 'retire'] as const)(
    'that one run gives back with %s is left to the others, then ends',
    async (how) => {
      const { use, pool, processes } = open({}, undefined, undefined, 2)
      const [one, other] = [await use(), await use()]
      expect(processes).toHaveLength(1)
      one.release(how)
      expect(processes[0]?.ending).toBeUndefined()
      // But nobody else gets it.
      expect((await use()).warm).toBe(false)
      other.release('park')
      expect(processes[0]?.ending).toBe('retired')
      expect(pool.stats()).toMatchObject({ idle: 0, busy: 1, ended: { untrusted: 1 } })
    },
  )
})

describe('a worker that was not used after all', () => {
  test('is as warm as it was', async () => {
    const { use, pool, processes } = open({ maxUses: 2 })
    ;(await use()).release('park')
    for (let n = 0; n < 5; n += 1) (await use()).release('unused')
    expect(pool.stats()).toMatchObject({ idle: 1, hits: 5 })
    ;(await use()).release('park')
    expect(pool.stats()).toMatchObject({ idle: 0, ended: { uses: 1 } })
    expect(processes).toHaveLength(1)
  })

  test('ends when it had not come up', async () => {
    const { pool, need, processes } = open({}, () => false)
    const lease = await pool.acquire(need(), never)
    lease.release('unused')
    expect(processes[0]?.ending).toBe('killed')
  })
})

describe('a miss', () => {
  test('says whether there was no other, all were in use, or in what the nearest one differs', async () => {
    const { use, pool } = open()
    const first = await use('/a')
    expect(first.miss).toEqual({ why: 'first' })
    expect((await use('/a')).miss).toEqual({ why: 'busy' })
    first.release('park')
    const { miss } = await use('/secret-place')
    expect(miss).toMatchObject({ why: 'differs', differences: [{ field: 'workspace' }] })
    expect(describeMiss(miss ?? { why: 'first' })).toMatch(
      /^the free worker differs in workspace \([0-9a-f]{16}, not [0-9a-f]{16}\)$/,
    )
    await use('/another-place')
    expect(pool.stats().misses).toEqual({ first: 1, busy: 1, differs: 2 })
  })

  test('in words is short when another role’s worker is all there is', () => {
    const differences = [
      { field: 'model', a: '1' },
      { field: 'role', a: '2', b: '3' },
    ]
    expect(describeMiss({ why: 'differs', differences })).toBe('no worker of its role is free')
  })

  test('names what only one side has', () => {
    expect(explainReuse({ role: '1', 'secret:A': '2' }, { role: '1' })).toEqual([{ field: 'secret:A', a: '2' }])
    expect(explainReuse({ role: '1' }, { role: '1' })).toEqual([])
  })
})

describe('room for a process', () => {
  test('is waited for in order, and made by ending the idle one that waited longest, once', async () => {
    const { use, need, pool, clock, processes } = open({ maxProcesses: 2 })
    ;(await use('/a')).release('park')
    ;(await use('/b')).release('park')
    const order: string[] = []
    const waiting = ['/c', '/d', '/e'].map(async (workspace) => {
      const lease = await pool.acquire(need(workspace), never)
      order.push(workspace)
      return lease
    })
    await clock.settle()
    expect(order).toEqual(['/c', '/d'])
    expect(pool.stats().ended.evicted).toBe(2)
    ;(await waiting[0])?.release('retire')
    await clock.settle()
    expect(order).toEqual(['/c', '/d', '/e'])
    expect(processes).toHaveLength(5)
  })

  test('stops being waited for when the signal aborts', async () => {
    const { use, need, pool, clock, processes } = open({ maxProcesses: 1 })
    const lease = await use('/a')
    const stop = new AbortController()
    const stopped = pool.acquire(need('/b'), stop.signal).catch(codeOf)
    await clock.settle()
    stop.abort()
    expect(await stopped).toBe('ABORTED')
    const together = new AbortController()
    const tooLate = pool.acquire(need('/b'), together.signal).catch(codeOf)
    await clock.settle()
    lease.release('park')
    together.abort()
    // Whether it fits or not, and whoever aborted before it was asked for.
    for (const folder of ['/a', '/b'])
      expect(await pool.acquire(need(folder), stop.signal).catch(codeOf)).toBe('ABORTED')
    expect(await tooLate).toBe('ABORTED')
    expect(pool.stats()).toMatchObject({ idle: 1, busy: 0 })
    expect(processes).toHaveLength(1)
  })
})

test('a pool that was closed starts nothing, whoever asks or waits', async () => {
  const { pool, need, processes, clock } = open({ maxProcesses: 1 })
  await pool.acquire(need('/a'), never)
  const waits = pool.acquire(need('/b'), never).catch(codeOf)
  await clock.settle()
  pool.close()
  expect([await waits, await pool.acquire(need('/a'), never).catch(codeOf)]).toEqual(['CLOSED', 'CLOSED'])
  expect(processes).toHaveLength(1)
})

describe('starts that fail', () => {
  test('are in a row no more when one came up between them', async () => {
    let comesUp = false
    const { pool, use, need, clock, processes } = open({ maxIdle: 0 }, () => comesUp)
    const fail = async (): Promise<void> => {
      const starting = pool.acquire(need(), never)
      await clock.advance(1_000)
      const lease = await starting
      processes.at(-1)?.end('no')
      await clock.settle()
      lease.release('kill')
    }
    for (let n = 0; n < 4; n += 1) await fail()
    await clock.advance(1_000)
    comesUp = true
    ;(await use()).release('park')
    comesUp = false
    for (let n = 0; n < 4; n += 1) await fail()
    await clock.advance(1_000)
    comesUp = true
    expect((await use()).warm).toBe(false)
  })

  test('are held back longer and longer, then refused at once, then tried once', async () => {
    let comesUp = false
    const { pool, need, clock, processes } = open({}, () => comesUp)
    const fail = async (n: number): Promise<void> => {
      const lease = await pool.acquire(need(), never)
      processes.at(-1)?.end(`no ${n}`)
      await clock.settle()
      lease.release('kill')
    }
    await fail(1)
    for (const [n, delayMs] of [100, 200, 400].entries()) {
      const failing = fail(n + 2)
      await clock.advance(delayMs - 1)
      expect(processes).toHaveLength(n + 1)
      await clock.advance(1)
      await failing
    }
    const last = fail(5)
    await clock.advance(800)
    await last
    await expect(pool.acquire(need(), never)).rejects.toMatchObject({
      code: 'WORKER_SPAWN_FAILED',
      retry: 'later',
      message: expect.stringContaining('The last: no 5'),
    })
    await clock.advance(30_000)
    comesUp = true
    const trial = pool.acquire(need(), never)
    await expect(pool.acquire(need('/a'), never)).rejects.toMatchObject({ code: 'WORKER_SPAWN_FAILED' })
    await clock.settle()
    expect(await trial).toMatchObject({ warm: false })
    expect(await pool.acquire(need(), never)).toMatchObject({ warm: false, miss: { why: 'busy' } })
  })

  test('are counted whatever the folder, go one at a time after a failure, and a refusal is none', async () => {
    const { pool, need, clock, processes } = open({}, () => false)
    await pool.acquire(need('/a'), never)
    processes[0]?.end('no')
    await clock.settle()
    void pool.acquire(need('/b'), never)
    void pool.acquire(need('/c'), never)
    await clock.advance(100)
    expect(processes).toHaveLength(2)
    processes[1]?.end('refused', 'SPEC_INVALID')
    await clock.settle()
    expect(processes).toHaveLength(3)
  })

  test('a worker whose files changed while it started has its run, and no other', async () => {
    const { use, pool } = open({}, undefined, () => false)
    const lease = await use()
    lease.release('park')
    expect(pool.stats()).toMatchObject({ idle: 0, ended: { untrusted: 1 } })
  })

  test('hold nobody back who needs another worker; one that was ended on purpose is no failure', async () => {
    const { pool, need, clock, processes } = open({}, () => false)
    const lease = await pool.acquire(need('/a'), never)
    lease.release('kill')
    await clock.settle()
    await pool.acquire(need('/a'), never)
    processes.at(-1)?.end('no')
    await clock.settle()
    await pool.acquire({ ...need('/a'), executor: 'other' }, never)
    expect(processes).toHaveLength(3)
    expect(clock.timers).toEqual([])
  })

  test('count when they hang as when they end', async () => {
    const { pool, need, clock, processes } = open({}, () => false)
    for (let n = 1; n <= 5; n += 1) {
      const acquired = pool.acquire(need(), never)
      await clock.advance(1_000)
      expect(processes).toHaveLength(n)
      ;(await acquired).release('hung')
      await clock.settle()
    }
    await expect(pool.acquire(need(), never)).rejects.toMatchObject({
      code: 'WORKER_SPAWN_FAILED',
      message: expect.stringContaining('The last: it did not answer in time'),
    })
  })

  test('are no failures of a worker that had come up', async () => {
    const { use, processes, clock } = open()
    for (let n = 1; n <= 6; n += 1) {
      ;(await use()).release('hung')
      await clock.settle()
      expect(processes).toHaveLength(n)
    }
  })

  test('count when the launcher throws; what is too large for any worker is none', async () => {
    const { clock, pool, need, fails } = openFailing()
    for (let n = 0; n < 5; n += 1) {
      const acquired = pool.acquire(need(), never).catch(codeOf)
      await clock.advance(1_000)
      expect(await acquired).toBe('WORKER_SPAWN_FAILED')
    }
    expect(fails.count).toBe(5)
    await expect(pool.acquire(need(), never)).rejects.toThrow('5 workers in a row')
    expect(fails.count).toBe(5)

    fails.code = 'SPEC_TOO_LARGE'
    for (let n = 0; n < 6; n += 1)
      expect(await pool.acquire({ executor: 'other', fixed: {} }, never).catch(codeOf)).toBe('SPEC_TOO_LARGE')
  })

  test('are forgotten after ten minutes', async () => {
    const { clock } = open()
    const gate = new SpawnGate(clock, random)
    for (let n = 0; n < 5; n += 1) gate.start('key').failed('no')
    expect(() => gate.delayOf('key')).toThrow('5 workers in a row')
    await clock.advance(631_000)
    gate.start('other').failed('no')
    gate.start('key').failed('no')
    expect(gate.delayOf('key')).toBe(100)

    // But not while one is under way.
    for (let n = 0; n < 4; n += 1) gate.start('key').failed('no')
    await clock.advance(30_000)
    gate.start('key')
    await clock.advance(700_000)
    gate.start('other').failed('no')
    expect(() => gate.delayOf('key')).toThrow('one is being tried')
  })

  test('have one trial after the circuit was open, whatever becomes of starts from before', async () => {
    const { clock } = open()
    const gate = new SpawnGate(clock, random)
    const early = gate.start('key')
    for (let n = 0; n < 5; n += 1) gate.start('key').failed('no')
    await clock.advance(30_000)
    expect(gate.delayOf('key')).toBe(0)
    const trial = gate.start('key')
    early.undecided()
    expect(() => gate.delayOf('key')).toThrow('one is being tried')
    trial.undecided()
    expect(gate.delayOf('key')).toBe(0)
  })

  test('stop being waited for when the signal aborts, and leave no timer', async () => {
    const { pool, need, clock, processes } = open({}, () => false)
    await pool.acquire(need(), never)
    processes[0]?.end('no')
    await clock.settle()
    const stop = new AbortController()
    const stopped = pool.acquire(need(), stop.signal).catch(codeOf)
    await clock.settle()
    expect(clock.timers).toHaveLength(1)
    stop.abort()
    expect(await stopped).toBe('ABORTED')
    expect(clock.timers).toEqual([])
  })
})

describe('workers that are kept ready', () => {
  test('are started one at a time, do not idle out, and are replaced', async () => {
    const { pool, need, clock, processes, use } = open()
    pool.keepReady('r', 2, () => Promise.resolve(need()))
    await clock.settle()
    expect(pool.stats().idle).toBe(2)
    await clock.advance(5_000)
    expect(pool.stats()).toMatchObject({ idle: 2, ended: { idle: 0 } })
    expect(processes).toHaveLength(2)
    expect((await use()).warm).toBe(true)
    expect(pool.stats()).toMatchObject({ idle: 2, busy: 1 })
    await clock.advance(5_000)
    // They got old, and were replaced.
    expect(processes.length).toBeGreaterThan(3)
    pool.close()
    await clock.settle()
    expect(pool.stats().idle).toBe(0)
    expect(clock.timers).toEqual([])

    // Whoever they are for.
    const slow = open({}, () => false)
    for (const folder of ['/a', '/b']) slow.pool.keepReady(folder, 1, () => Promise.resolve(slow.need(folder)))
    await slow.clock.settle()
    expect(slow.processes).toHaveLength(1)
  })

  test('are beside those that may idle', async () => {
    const { pool, need, clock, processes, use } = open({ maxIdle: 1, maxIdlePerKey: 1 })
    pool.keepReady('r', 1, () => Promise.resolve(need()))
    await clock.settle()
    ;(await use('/b')).release('park')
    expect(pool.stats()).toMatchObject({ idle: 2, ended: { full: 0 } })
    expect(processes.map(({ ending }) => ending)).toEqual([undefined, undefined])
  })

  test('what keeps them from being started is told of, ends nothing, and is tried again', async () => {
    const { pool, clock, warnings, use, need } = open()
    let isThere = false
    pool.keepReady('r', 1, () => (isThere ? Promise.resolve(need()) : Promise.reject(new Error('no secret'))))
    await clock.settle()
    expect(warnings).toEqual(['no worker can be kept ready'])
    const lease = await use()
    expect(lease.warm).toBe(false)
    lease.release('retire')
    await clock.advance(999)
    expect(warnings).toHaveLength(1)
    isThere = true
    await clock.advance(1)
    expect(pool.stats()).toMatchObject({ idle: 1 })
  })

  test('that do not come up are tried again after longer and longer pauses, whatever else changes', async () => {
    const { pool, clock, processes, need, use } = open({}, () => processes.length > 0 && processes.length % 2 === 0)
    pool.keepReady('r', 1, () => Promise.resolve({ executor: 'other', fixed: {} }))
    await clock.settle()
    const dies = async (): Promise<void> => {
      processes.at(-1)?.end('no')
      await clock.settle()
    }
    await dies()
    expect(processes).toHaveLength(1)
    // Other runs come and go.
    const lease = await pool.acquire(need(), never)
    lease.release('retire')
    await use('/b')
    const before = processes.length
    await clock.advance(999)
    expect(processes).toHaveLength(before)
    await clock.advance(1)
    expect(processes).toHaveLength(before + 1)
  })

  test('that end idle are replaced, after a pause', async () => {
    const { pool, need, clock, processes } = open()
    pool.keepReady('r', 1, () => Promise.resolve(need()))
    await clock.settle()
    processes[0]?.end('killed by somebody')
    await clock.advance(999)
    expect(pool.stats()).toMatchObject({ idle: 0 })
    await clock.advance(1)
    expect(pool.stats()).toMatchObject({ idle: 1 })
    // The second pause is twice as long.
    processes[1]?.end('killed by somebody')
    await clock.advance(1_999)
    expect(pool.stats()).toMatchObject({ idle: 0 })
    await clock.advance(1)
    expect(pool.stats()).toMatchObject({ idle: 1 })
    pool.close()
    await clock.settle()
    expect(clock.timers).toEqual([])
  })

  test('are not started without end when each is out of date at once', async () => {
    const { pool, need, clock, processes } = open({}, undefined, () => false)
    pool.keepReady('r', 1, () => Promise.resolve(need()))
    await clock.advance(60_000)
    // 1 + 2 + 4 + 8 + 16 + 32 seconds.
    expect(processes).toHaveLength(6)
    expect(processes.every(({ ending }) => ending === 'retired')).toBe(true)
  })

  test('are ended when they do not come up within a minute', async () => {
    const { pool, need, clock, processes } = open({}, () => false)
    pool.keepReady('r', 1, () => Promise.resolve(need()))
    await clock.advance(59_999)
    expect(processes[0]?.ending).toBeUndefined()
    await clock.advance(1)
    expect(processes[0]?.ending).toBe('killed')
    expect(processes).toHaveLength(1)
    await clock.advance(1_000)
    expect(processes).toHaveLength(2)
  })

  test('are more from when they are asked for, and none once the pool is closed', async () => {
    const { pool, need, clock, processes } = open()
    pool.keepReady('a', 1, () => Promise.resolve(need('/a')))
    await clock.settle()
    pool.keepReady('b', 1, () => Promise.resolve(need('/b')))
    await clock.settle()
    pool.keepReady('b', 2, () => Promise.resolve(need('/b')))
    await clock.settle()
    expect(processes).toHaveLength(3)
    pool.close()
    pool.keepReady('c', 1, () => Promise.resolve(need('/c')))
    await clock.settle()
    expect(processes).toHaveLength(3)
    expect(clock.timers).toEqual([])
  })

  test('that were used start over at the shortest pause', async () => {
    const { pool, need, clock, processes, use } = open()
    pool.keepReady('r', 1, () => Promise.resolve(need()))
    await clock.settle()
    for (const ms of [1_000, 2_000]) {
      processes.at(-1)?.end('killed by somebody')
      await clock.advance(ms)
    }
    expect(processes).toHaveLength(3)
    ;(await use()).release('retire')
    await clock.settle()
    processes.at(-1)?.end('killed by somebody')
    await clock.advance(999)
    expect(processes).toHaveLength(4)
    await clock.advance(1)
    expect(processes).toHaveLength(5)
  })

  test('make room for runs while they start, and that is no failed start; an equal one is waited for', async () => {
    let comesUp = false
    const { pool, need, clock, processes, use } = open({ maxProcesses: 1 }, () => comesUp)
    pool.keepReady('r', 1, () => Promise.resolve(need('/a')))
    await clock.settle()
    const stop = new AbortController()
    const waits = pool.acquire(need('/a'), stop.signal).catch(codeOf)
    await clock.settle()
    expect(processes[0]?.ending).toBeUndefined()
    stop.abort()
    expect(await waits).toBe('ABORTED')
    comesUp = true
    expect((await use('/b')).warm).toBe(false)
    expect(processes.map(({ ending }) => ending)).toEqual(['retired', undefined])
  })

  test('have the room that a run did not need after all', async () => {
    const { pool, need, clock, processes, use, fails } = open({ maxProcesses: 1 })
    const lease = await use('/a')
    pool.keepReady('r', 1, () => Promise.resolve(need('/a')))
    fails.add('/bad')
    const bad = pool.acquire(need('/bad'), never).catch(codeOf)
    await clock.settle()
    lease.release('kill')
    expect(await bad).toBe('SPEC_TOO_LARGE')
    await clock.settle()
    expect(processes).toHaveLength(2)
    expect(pool.stats()).toMatchObject({ idle: 1 })
  })

  test('wait for room that runs do not need', async () => {
    const { pool, need, clock, use, processes } = open({ maxProcesses: 1 })
    const lease = await use('/a')
    pool.keepReady('r', 1, () => Promise.resolve(need('/r')))
    const waits = pool.acquire(need('/b'), never)
    await clock.settle()
    lease.release('retire')
    await clock.settle()
    const next = await waits
    expect(processes).toHaveLength(2)
    next.release('retire')
    await clock.settle()
    expect(pool.stats()).toMatchObject({ idle: 1, busy: 0 })
    expect((await use('/r')).warm).toBe(true)
  })
})
