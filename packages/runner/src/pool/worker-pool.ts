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
 * - *B2* It is parked only after a success, or when it was not used. What failed once is leased to nobody any more.
 * - *B3* No more than `maxProcesses` processes are there at any time, those that are ending included.
 * - *B4* That a parked worker is well is proved by its next claim, not asked before.
 * - *B5* Whoever gives it back ends nothing that others still use.
 */
import { codeOf, GreenroomError, type ServedExecutor, type Timer } from '@greenroom/proto'
import { Change } from '../change.ts'
import { digestOf, explainReuse, fingerprintOf, type Fingerprint, type Fixed } from './fingerprint.ts'
import type { PoolMiss } from './miss.ts'
import type { EndReason, Lease, Pool, PoolOptions, PoolStats, Release } from './pool.ts'
import { Reserves } from './reserves.ts'
import { SpawnGate, type Start } from './spawn-gate.ts'
import type { PoolNeed, PoolWorker, PoolWorkerEnd } from './worker.ts'

/** Refusals of what a worker was provisioned with: the same words every time, so neither a pause nor a circuit helps. */
const refusals: ReadonlySet<string> = new Set(['SPEC_INVALID', 'SPEC_TOO_NEW', 'SPEC_TOO_LARGE', 'UNKNOWN_EXECUTOR'])

/** How long one that is kept ready may take to attach, in milliseconds; for others their run's deadline holds. */
const startMs = 60_000

interface Entry<Worker> {
  readonly worker: Worker
  /** What was asked for, whatever of it turns out to be bound late. */
  readonly key: string
  readonly start: Start
  readonly bornAt: number
  /** For whom it is kept ready; until its first lease. */
  keptFor: string | undefined
  /** From its attach on. */
  fingerprint: Fingerprint | undefined
  /** What learns of its end, by lease. */
  readonly leases: Set<(end: PoolWorkerEnd) => void>
  uses: number
  trusted: boolean
  /** Until it is ended; while it is idle. */
  timer: Timer | undefined
}

/** See B1 to B5. */
export class WorkerPool<Need extends PoolNeed, Worker extends PoolWorker> implements Pool<Need, Worker> {
  readonly #options: PoolOptions<Need, Worker>
  readonly #gate: SpawnGate
  readonly #key: string
  /** In the order in which they became idle. */
  readonly #entries = new Set<Entry<Worker>>()
  readonly #reserves: Reserves<Need>
  /** The latest facts of each executor: a fresh worker will be like that. */
  readonly #served = new Map<string, ServedExecutor>()
  readonly #misses = { first: 0, busy: 0, differs: 0 }
  readonly #ended = { idle: 0, age: 0, uses: 0, full: 0, evicted: 0, untrusted: 0, closed: 0, gone: 0 }
  #hits = 0
  /** Who waits for room. */
  #wanting = 0
  #closed = false
  readonly #change: Change

  constructor(options: PoolOptions<Need, Worker>) {
    this.#options = options
    this.#change = new Change(options.clock)
    this.#gate = new SpawnGate(options.clock, options.random)
    this.#key = options.random.id()
    const { clock, random, warn, limits, processes } = options
    this.#reserves = new Reserves({
      clock,
      random,
      warn,
      kept: (name) => [...this.#entries].filter(({ keptFor, trusted }) => keptFor === name && trusted).length,
      hasRoom: () => this.#wanting === 0 && processes() < limits.maxProcesses,
      start: (name, need) => this.#startReady(name, need),
      wait: (ms) => this.#change.wait(neverAborted, ms),
    })
  }

  async acquire(need: Need, signal: AbortSignal): Promise<Lease<Worker>> {
    const key = this.#keyOf(need)
    let wantsRoom = false
    try {
      for (;;) {
        if (signal.aborted) throw new GreenroomError('ABORTED')
        if (this.#closed) throw new GreenroomError('CLOSED', 'the pool was closed')
        const wanted = this.#fingerprint(need.fixed, this.#served.get(need.executor))
        const fitting = this.#fitting(wanted)
        if (fitting !== undefined) {
          this.#hits += 1
          return this.#lease(fitting, true)
        }
        const delayMs = this.#gate.delayOf(this.#startKeyOf(need))
        if (delayMs === 0 && this.#hasRoom(key)) return this.#fresh(need, key, wanted)
        if (delayMs === 0 && !wantsRoom) {
          wantsRoom = true
          this.#wanting += 1
        }
        await this.#change.wait(signal, delayMs === 0 ? Infinity : delayMs)
      }
    } finally {
      if (wantsRoom) {
        this.#wanting -= 1
        // Without a lease the room is left to others.
        this.#change.tell()
      }
    }
  }

  keepReady(name: string, count: number, need: () => Promise<Need>): void {
    if (this.#closed) return
    this.#reserves.keep(name, count, need)
    this.#change.tell()
  }

  noteRoom(): void {
    this.#change.tell()
  }

  stats(): PoolStats {
    const entries = [...this.#entries]
    return {
      idle: entries.filter((entry) => entry.leases.size === 0).length,
      busy: entries.filter((entry) => entry.leases.size > 0).length,
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
      if (entry.leases.size === 0) this.#end(entry, 'closed')
    }
    this.#change.tell()
  }

  // ─── finding one ───────────────────────────────────────────────────────────────────────────────────────────────

  /** B1: the one that became idle last, else one that has a slot left. */
  #fitting(wanted: Fingerprint): Entry<Worker> | undefined {
    const fitting = [...this.#entries].filter((entry) => this.#isFree(entry) && isEqual(entry, wanted))
    return fitting.findLast(({ leases }) => leases.size === 0) ?? fitting.at(-1)
  }

  #isFree({ worker, trusted, fingerprint, leases, uses, bornAt }: Entry<Worker>): boolean {
    const { limits, clock } = this.#options
    if (!trusted || fingerprint === undefined || leases.size >= worker.slots) return false
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

  /** B3; when there is none, it is made, once: the idle one that waited longest is ended, or one that others start. */
  #hasRoom(key: string): boolean {
    const { limits, processes } = this.#options
    if (processes() < limits.maxProcesses) return true
    if (this.#entries.size < limits.maxProcesses) return false
    const unused = [...this.#entries].filter(({ leases }) => leases.size === 0)
    const idle = unused.find((entry) => entry.fingerprint !== undefined) ?? unused.find((entry) => entry.key !== key)
    if (idle !== undefined) this.#end(idle, 'evicted')
    return false
  }

  #fresh(need: Need, key: string, wanted: Fingerprint): Lease<Worker> {
    const miss = this.#missOf(key, wanted)
    const entry = this.#spawn(need, key)
    this.#misses[miss.why] += 1
    return this.#lease(entry, false, miss)
  }

  #spawn(need: Need, key: string, keptFor?: string): Entry<Worker> {
    const start = this.#gate.start(this.#startKeyOf(need))
    const worker = this.#launch(need, start)
    const entry: Entry<Worker> = {
      worker,
      key,
      start,
      bornAt: this.#options.clock.monotonic(),
      keptFor,
      fingerprint: undefined,
      leases: new Set(),
      uses: 0,
      trusted: true,
      timer: undefined,
    }
    this.#entries.add(entry)
    void worker.gone.then((end) => this.#gone(entry, end))
    void worker.attached.then((attached) => {
      if (attached) this.#attached(entry, need)
    })
    return entry
  }

  #launch(need: Need, start: Start): Worker {
    try {
      return this.#options.spawn(need)
    } catch (error) {
      if (codeOf(error) === 'WORKER_SPAWN_FAILED') start.failed(String(error))
      else start.undecided()
      throw error
    }
  }

  #attached(entry: Entry<Worker>, need: Need): void {
    const { executor, fixed } = need
    const served = entry.worker.serves?.find(({ name }) => name === executor)
    if (served !== undefined) this.#served.set(executor, served)
    entry.fingerprint = this.#fingerprint(fixed, served)
    entry.start.succeeded()
    // What it has loaded may not be what was looked at before it was started.
    if (!this.#options.isCurrent(need)) entry.trusted = false
    this.#change.tell()
  }

  #gone(entry: Entry<Worker>, end: PoolWorkerEnd): void {
    const { message, error } = end
    entry.timer?.cancel()
    for (const learn of entry.leases) learn(end)
    if (refusals.has(error?.code ?? '')) entry.start.undecided()
    else entry.start.failed(message)
    if (this.#entries.delete(entry)) {
      this.#ended.gone += 1
      if (entry.leases.size === 0) this.#goneUnused(entry, message)
    }
    this.#change.tell()
  }

  #goneUnused({ keptFor, fingerprint }: Entry<Worker>, message: string): void {
    const { warn } = this.#options
    if (fingerprint === undefined) return warn('a worker that was to be kept ready did not come up', { message })
    warn('an idle worker ended', { message })
    if (keptFor !== undefined) this.#reserves.lost(keptFor)
  }

  // ─── using one ─────────────────────────────────────────────────────────────────────────────────────────────────

  #lease(entry: Entry<Worker>, warm: boolean, miss?: PoolMiss): Lease<Worker> {
    entry.timer?.cancel()
    entry.uses += 1
    if (entry.keptFor !== undefined) this.#reserves.used(entry.keptFor)
    entry.keptFor = undefined
    const gone = Promise.withResolvers<PoolWorkerEnd>()
    entry.leases.add(gone.resolve)
    const release = (how: Release): void => {
      if (entry.leases.delete(gone.resolve)) this.#release(entry, how)
    }
    this.#change.tell()
    return { worker: entry.worker, warm, ...(miss === undefined ? {} : { miss }), gone: gone.promise, release }
  }

  #release(entry: Entry<Worker>, how: Release): void {
    const isWell = how === 'park' || (how === 'unused' && entry.fingerprint !== undefined)
    if (how === 'unused') entry.uses -= 1
    if (!isWell) entry.trusted = false
    if (how === 'hung') entry.start.failed('it did not answer in time')
    else entry.start.undecided()
    if (entry.leases.size === 0) {
      if (!isWell && how !== 'retire') entry.worker.kill()
      this.#idle(entry)
    }
    this.#change.tell()
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
    const idle = [...this.#entries].filter(({ leases, keptFor }) => leases.size === 0 && keptFor === undefined)
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
    entry.start.undecided()
    if (!this.#entries.delete(entry)) return
    this.#ended[why] += 1
    entry.worker.retire()
    if (entry.keptFor !== undefined) this.#change.tell()
  }

  // ─── keeping some ready ────────────────────────────────────────────────────────────────────────────────────────

  /** Whether it is ready. */
  async #startReady(name: string, need: Need): Promise<boolean> {
    const { clock } = this.#options
    if (this.#closed || this.#gate.delayOf(this.#startKeyOf(need)) > 0) return false
    const entry = this.#spawn(need, this.#keyOf(need), name)
    const giveUp = (): void => {
      entry.start.failed(`it did not attach within ${startMs} ms`)
      entry.worker.kill()
    }
    const timer = clock.timer(startMs, giveUp, { background: true })
    const attached = await entry.worker.attached
    timer.cancel()
    if (attached && entry.leases.size === 0) this.#idle(entry)
    return attached && (entry.trusted || entry.leases.size > 0)
  }
}

const neverAborted = new AbortController().signal

function isEqual<Worker>({ fingerprint }: Entry<Worker>, wanted: Fingerprint): boolean {
  return fingerprint !== undefined && explainReuse(fingerprint, wanted).length === 0
}
