/**
 * The pool: who gets which worker, and how long workers stay.
 *
 * ```text
 *            acquire: equal fingerprint? ──yes──► the one parked last (LIFO) ──────────┐
 *                          │no                                                         ▼
 *                          └──► room for a process? ──► gate ──► spawn ─────────────► leased
 *                                 │no: end the idle one that waited longest             │ park, after success
 *                                 └──► wait until one is gone or parked                 ▼
 *            ended ◄── idleMs, maxAgeMs, maxUses, maxIdle, maxIdlePerKey ◄──────────── idle
 * ```
 *
 * - *B1* A worker is leased only to runs whose fingerprint equals its own, and to no more at a time than it has slots.
 * - *B2* It is parked only after a success. What failed once is leased to nobody any more.
 * - *B3* No more than `maxProcesses` processes are there at any time, those that are ending included.
 * - *B4* That a parked worker is well is proved by its next claim, not asked before.
 */
import { GreenroomError, type Clock, type Random, type ServedExecutor, type Timer } from '@greenroom/proto'
import { untilAbort } from '../abort.ts'
import { digestOf, explainReuse, fingerprintOf, type Fingerprint, type Fixed } from './fingerprint.ts'
import type { PoolMiss } from './miss.ts'
import { SpawnGate } from './spawn-gate.ts'

/** How a pool's worker ended. */
export interface PoolWorkerEnd {
  /** For people: how it ended, and the last it wrote. */
  readonly message: string
  /** What it said about itself before it ended. */
  readonly error?: {
    /** A code of the error table, or its own. */
    readonly code: string
  }
}

/** A worker, as far as a pool needs it. */
export interface PoolWorker {
  /** Resolves with true when it is attached, with false when it ended before. Never rejects. */
  readonly attached: Promise<boolean>
  /** What it serves; undefined before it is attached. */
  readonly serves: readonly ServedExecutor[] | undefined
  /** How many runs it takes at a time. */
  readonly slots: number
  /** Resolves when its process is gone, with how that came, for people. Never rejects. */
  readonly gone: Promise<PoolWorkerEnd>
  /** Ends it in order, by force when that takes too long. */
  retire(): void
  /** Ends it by force. */
  kill(): void
}

/** What a run needs of a worker. */
export interface PoolNeed {
  /** The executor that it has to serve. */
  readonly executor: string
  /** What it has to have been provisioned with. */
  readonly fixed: Fixed
}

/** How many workers there are, and how long they stay idle. */
export interface PoolLimits {
  /** Idle workers in all. */
  readonly maxIdle: number
  /** Idle workers of one fingerprint. */
  readonly maxIdlePerKey: number
  /** How long one stays idle, in milliseconds. */
  readonly idleMs: number
  /** How long one lives, in milliseconds; one in use ends after its run. */
  readonly maxAgeMs: number
  /** How many runs one does. */
  readonly maxUses: number
  /** Processes in all, in use or not. */
  readonly maxProcesses: number
}

/** What a pool is made of. */
export interface PoolOptions<Need extends PoolNeed, Worker extends PoolWorker> {
  /** Its bounds; 0 is zero. */
  readonly limits: PoolLimits
  /** Starts a worker. */
  readonly spawn: (need: Need) => Worker
  /** How many processes there are, those that are ending included. */
  readonly processes: () => number
  /** Whether a worker that is started now would still be provisioned like this: its files may have changed meanwhile. */
  readonly isCurrent: (need: Need) => boolean
  /** Measures idle times, ages and pauses. */
  readonly clock: Clock
  /** Jitters pauses, and keys the digests. */
  readonly random: Random
  /** Learns what nobody waits for. */
  readonly warn: (message: string, fields: Readonly<Record<string, unknown>>) => void
}

/** The right to use a worker. */
export interface Lease<Worker> {
  /** Whose it is until the release. */
  readonly worker: Worker
  /** Whether it was there before. */
  readonly warm: boolean
  /** Why it was not. */
  readonly miss?: PoolMiss
  /** Gives it back: `park` after a success, else `retire` or, when it does not answer, `kill`. Only the first call counts. */
  release(how: 'park' | 'retire' | 'kill'): void
}

/** What a pool has, and did. */
export interface PoolStats {
  /** Workers that wait for a run. */
  readonly idle: number
  /** Workers that have one. */
  readonly busy: number
  /** Leases of a worker that was there before. */
  readonly hits: number
  /** Leases of a fresh worker, by why. */
  readonly misses: Readonly<Record<PoolMiss['why'], number>>
  /** Workers that were ended, by why. */
  readonly ended: Readonly<Record<EndReason, number>>
}

/**
 * Why a worker was ended: `idle` or of `age` for too long, used up, above the caps of idle ones (`full`), `evicted` to make
 * room for a process, `untrusted` after a failure, the pool was `closed`; or it was `gone` by itself.
 */
export type EndReason = 'idle' | 'age' | 'uses' | 'full' | 'evicted' | 'untrusted' | 'closed' | 'gone'

/** Keeps workers warm. */
export interface Pool<Need extends PoolNeed, Worker extends PoolWorker> {
  /**
   * Gets a worker: one that fits, else a fresh one, when there is room for it.
   *
   * @throws GreenroomError `WORKER_SPAWN_FAILED` while its circuit is open; what `spawn` throws; `ABORTED`
   */
  acquire(need: Need, signal: AbortSignal): Promise<Lease<Worker>>
  /** Keeps so many workers for a need ready, in the background; what is asked for again replaces what was. */
  keepReady(name: string, count: number, need: () => Promise<Need>): void
  /** What it has, and did. */
  stats(): PoolStats
  /** Ends every idle worker, and keeps none from now on. */
  close(): void
}

/** Refusals of what a worker was provisioned with: the same words every time, so neither a pause nor a circuit helps. */
const refusals: ReadonlySet<string> = new Set(['SPEC_INVALID', 'SPEC_TOO_NEW', 'SPEC_TOO_LARGE', 'UNKNOWN_EXECUTOR'])

interface Entry<Worker> {
  readonly worker: Worker
  readonly executor: string
  /** What was asked for, whatever of it turns out to be bound late. */
  readonly key: string
  /** What starts are counted by. */
  readonly startKey: string
  readonly fixed: Fixed
  readonly bornAt: number
  /** For whom it is kept ready; until its first lease. */
  keptFor: string | undefined
  /** From its attach on. */
  fingerprint: Fingerprint | undefined
  leases: number
  uses: number
  trusted: boolean
  /** Until it is ended; while it is idle. */
  timer: Timer | undefined
}

interface Reserve<Need> {
  readonly count: number
  readonly need: () => Promise<Need>
}

/**
 * Creates a pool.
 *
 * @param options - see {@link PoolOptions}
 */
export function createPool<Need extends PoolNeed, Worker extends PoolWorker>(
  options: PoolOptions<Need, Worker>,
): Pool<Need, Worker> {
  return new WorkerPool(options)
}

/** See B1 to B4. */
class WorkerPool<Need extends PoolNeed, Worker extends PoolWorker> implements Pool<Need, Worker> {
  readonly #options: PoolOptions<Need, Worker>
  readonly #gate: SpawnGate
  readonly #key: string
  /** In the order in which they became idle. */
  readonly #entries = new Set<Entry<Worker>>()
  readonly #reserves = new Map<string, Reserve<Need>>()
  /** The latest facts of each executor: a fresh worker will be like that. */
  readonly #served = new Map<string, ServedExecutor>()
  readonly #misses = { first: 0, busy: 0, differs: 0 }
  readonly #ended = { idle: 0, age: 0, uses: 0, full: 0, evicted: 0, untrusted: 0, closed: 0, gone: 0 }
  #hits = 0
  #filling = false
  #closed = false
  #change = Promise.withResolvers<void>()

  constructor(options: PoolOptions<Need, Worker>) {
    this.#options = options
    this.#gate = new SpawnGate(options.clock, options.random)
    this.#key = options.random.id()
  }

  async acquire(need: Need, signal: AbortSignal): Promise<Lease<Worker>> {
    const key = this.#keyOf(need)
    for (;;) {
      if (signal.aborted) throw new GreenroomError('ABORTED')
      const wanted = this.#fingerprint(need.fixed, this.#served.get(need.executor))
      const fitting = this.#fitting(wanted)
      if (fitting !== undefined) {
        this.#hits += 1
        return this.#lease(fitting, true)
      }
      const delayMs = this.#gate.delayOf(this.#startKeyOf(need))
      if (delayMs > 0) await this.#wait(signal, delayMs)
      else if (this.#hasRoom()) return this.#fresh(need, key, wanted)
      else await this.#wait(signal)
    }
  }

  keepReady(name: string, count: number, need: () => Promise<Need>): void {
    this.#reserves.set(name, { count, need })
    void this.#fill()
  }

  stats(): PoolStats {
    const entries = [...this.#entries]
    return {
      idle: entries.filter((entry) => entry.leases === 0).length,
      busy: entries.filter((entry) => entry.leases > 0).length,
      hits: this.#hits,
      misses: { ...this.#misses },
      ended: { ...this.#ended },
    }
  }

  close(): void {
    this.#closed = true
    this.#reserves.clear()
    for (const entry of this.#entries) {
      entry.trusted = false
      if (entry.leases === 0) this.#end(entry, 'closed')
    }
  }

  // ─── finding one ───────────────────────────────────────────────────────────────────────────────────────────────

  /** B1: the one that became idle last, else one that has a slot left. */
  #fitting(wanted: Fingerprint): Entry<Worker> | undefined {
    const fitting = [...this.#entries].filter((entry) => this.#isFree(entry) && isEqual(entry, wanted))
    return fitting.findLast(({ leases }) => leases === 0) ?? fitting.at(-1)
  }

  #isFree({ worker, trusted, fingerprint, leases, uses, bornAt }: Entry<Worker>): boolean {
    const { limits, clock } = this.#options
    if (!trusted || fingerprint === undefined || leases >= worker.slots) return false
    return uses < limits.maxUses && clock.monotonic() - bornAt < limits.maxAgeMs
  }

  #fingerprint(fixed: Fixed, served: ServedExecutor | undefined): Fingerprint {
    const version = served === undefined ? {} : { executorVersion: served.version }
    return fingerprintOf({ ...fixed, ...version }, served?.lateBound ?? [], this.#key)
  }

  #keyOf({ executor, fixed }: Need): string {
    return digestOf([executor, fixed], this.#key)
  }

  /** Fifty folders are no reason to try fifty times what fails in each. */
  #startKeyOf({ executor, fixed }: Need): string {
    const { workspace: _workspace, model: _model, tools: _tools, ...rest } = fixed
    return digestOf([executor, rest], this.#key)
  }

  #missOf(key: string, wanted: Fingerprint): PoolMiss {
    const others = [...this.#entries].filter(({ trusted }) => trusted)
    if (others.some((entry) => entry.key === key || isEqual(entry, wanted))) return { why: 'busy' }
    const differences = others
      .filter((entry) => this.#isFree(entry))
      .map(({ fingerprint }) => explainReuse(fingerprint ?? {}, wanted))
    const [nearest] = differences.toSorted((one, other) => one.length - other.length)
    return nearest === undefined ? { why: 'first' } : { why: 'differs', differences: nearest }
  }

  // ─── starting one ──────────────────────────────────────────────────────────────────────────────────────────────

  /** B3; when there is none, it is made, once: the idle one that waited longest is ended. */
  #hasRoom(): boolean {
    const { limits, processes } = this.#options
    if (processes() < limits.maxProcesses) return true
    if (this.#entries.size < limits.maxProcesses) return false
    const idle = [...this.#entries].find(({ leases }) => leases === 0)
    if (idle !== undefined) this.#end(idle, 'evicted')
    return false
  }

  #fresh(need: Need, key: string, wanted: Fingerprint): Lease<Worker> {
    const miss = this.#missOf(key, wanted)
    const entry = this.#spawn(need, key)
    this.#misses[miss.why] += 1
    return this.#lease(entry, false, miss)
  }

  #spawn(need: Need, key: string): Entry<Worker> {
    const { executor, fixed } = need
    const worker = this.#options.spawn(need)
    const bornAt = this.#options.clock.monotonic()
    const entry: Entry<Worker> = {
      worker,
      executor,
      key,
      startKey: this.#startKeyOf(need),
      fixed,
      bornAt,
      keptFor: undefined,
      fingerprint: undefined,
      leases: 0,
      uses: 0,
      trusted: true,
      timer: undefined,
    }
    this.#entries.add(entry)
    this.#gate.starting(entry.startKey)
    void worker.attached.then((attached) => this.#came(entry, need, attached))
    void worker.gone.then(({ message }) => this.#gone(entry, message))
    return entry
  }

  /** Whether it came up is known. */
  #came(entry: Entry<Worker>, need: Need, attached: boolean): void {
    const { worker, executor, startKey, fixed, trusted } = entry
    if (attached) {
      const served = worker.serves?.find(({ name }) => name === executor)
      if (served !== undefined) this.#served.set(executor, served)
      entry.fingerprint = this.#fingerprint(fixed, served)
      this.#gate.succeeded(startKey)
      // What it has loaded may not be what was looked at before it was started.
      if (!this.#options.isCurrent(need)) entry.trusted = false
      return this.#changed()
    }
    void worker.gone.then(({ message, error }) => {
      if (!trusted || refusals.has(error?.code ?? '')) this.#gate.undecided(startKey)
      else this.#gate.failed(startKey, message)
      this.#changed()
    })
  }

  #gone(entry: Entry<Worker>, message: string): void {
    entry.timer?.cancel()
    if (this.#entries.delete(entry)) {
      this.#ended.gone += 1
      if (entry.leases === 0) this.#options.warn('an idle worker ended', { message })
    }
    this.#changed()
  }

  // ─── using one ─────────────────────────────────────────────────────────────────────────────────────────────────

  #lease(entry: Entry<Worker>, warm: boolean, miss?: PoolMiss): Lease<Worker> {
    entry.timer?.cancel()
    entry.leases += 1
    entry.uses += 1
    entry.keptFor = undefined
    let held = true
    const release = (how: 'park' | 'retire' | 'kill'): void => {
      if (!held) return
      held = false
      entry.leases -= 1
      if (how !== 'park') entry.trusted = false
      if (how === 'kill') entry.worker.kill()
      if (entry.leases === 0) this.#idle(entry)
      this.#changed()
    }
    void this.#fill()
    return { worker: entry.worker, warm, ...(miss === undefined ? {} : { miss }), release }
  }

  /** It has no run any more: it stays for a while, or leaves. */
  #idle(entry: Entry<Worker>): void {
    const { limits, clock } = this.#options
    if (!this.#entries.delete(entry)) return
    this.#entries.add(entry)
    const ageLeftMs = entry.bornAt + limits.maxAgeMs - clock.monotonic()
    if (this.#closed) return this.#end(entry, 'closed')
    if (!entry.trusted) return this.#end(entry, 'untrusted')
    if (entry.uses >= limits.maxUses) return this.#end(entry, 'uses')
    if (ageLeftMs <= 0) return this.#end(entry, 'age')
    const why = ageLeftMs < limits.idleMs ? 'age' : 'idle'
    const delayMs = entry.keptFor === undefined ? Math.min(limits.idleMs, ageLeftMs) : ageLeftMs
    entry.timer = clock.timer(delayMs, () => this.#end(entry, why), { background: true })
    this.#keepWithinCaps(entry)
  }

  #keepWithinCaps(latest: Entry<Worker>): void {
    const { maxIdle, maxIdlePerKey } = this.#options.limits
    const idle = [...this.#entries].filter(({ leases, keptFor }) => leases === 0 && keptFor === undefined)
    const equal = idle.filter((entry) => latest.fingerprint !== undefined && isEqual(entry, latest.fingerprint))
    const [oldestEqual] = equal
    if (equal.length > maxIdlePerKey && oldestEqual !== undefined) return this.#end(oldestEqual, 'full')
    const [oldest] = idle
    if (idle.length > maxIdle && oldest !== undefined) this.#end(oldest, 'full')
  }

  /** Nobody gets it any more. */
  #end(entry: Entry<Worker>, why: EndReason): void {
    entry.timer?.cancel()
    entry.trusted = false
    if (!this.#entries.delete(entry)) return
    this.#ended[why] += 1
    entry.worker.retire()
    if (entry.keptFor !== undefined) void this.#fill()
  }

  // ─── keeping some ready ────────────────────────────────────────────────────────────────────────────────────────

  /** One start at a time: the machine has other things to do. */
  async #fill(): Promise<void> {
    if (this.#filling) return
    this.#filling = true
    try {
      for (const [name, reserve] of this.#reserves) {
        let mayGoOn = true
        while (mayGoOn && !this.#closed && this.#kept(name) < reserve.count)
          mayGoOn = await this.#fillOne(name, reserve)
      }
    } finally {
      this.#filling = false
    }
  }

  #kept(name: string): number {
    return [...this.#entries].filter(({ keptFor, trusted }) => keptFor === name && trusted).length
  }

  /** Whether another one may be tried. */
  async #fillOne(name: string, { need }: Reserve<Need>): Promise<boolean> {
    const { limits, processes, warn } = this.#options
    try {
      const wanted = await need()
      const key = this.#keyOf(wanted)
      const delayMs = this.#gate.delayOf(this.#startKeyOf(wanted))
      if (delayMs > 0) await this.#wait(neverAborted, delayMs)
      if (this.#closed || processes() >= limits.maxProcesses) return false
      const entry = this.#spawn(wanted, key)
      entry.keptFor = name
      if (await entry.worker.attached) {
        if (entry.leases === 0) this.#idle(entry)
        return true
      }
      const { message } = await entry.worker.gone
      if (entry.trusted) warn('a worker that was to be kept ready did not come up', { name, message })
      return true
    } catch (error) {
      warn('no worker can be kept ready', { name, error: String(error) })
      return false
    }
  }

  // ─── waiting ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Until something changed, the time is over, or the signal aborts. */
  async #wait(signal: AbortSignal, ms?: number): Promise<void> {
    const over = Promise.withResolvers<void>()
    const timer =
      ms === undefined || ms === Infinity
        ? undefined
        : this.#options.clock.timer(ms, over.resolve, { background: true })
    try {
      await untilAbort(signal, Promise.race([over.promise, this.#change.promise]))
    } finally {
      timer?.cancel()
    }
  }

  #changed(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }
}

const neverAborted = new AbortController().signal

function isEqual<Worker>({ fingerprint }: Entry<Worker>, wanted: Fingerprint): boolean {
  return fingerprint !== undefined && explainReuse(fingerprint, wanted).length === 0
}
