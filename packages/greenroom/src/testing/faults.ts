/** What goes wrong in a test: ordered beforehand, and then it happens by itself at its moment. */
import { GreenroomError, type Clock, type Random } from '@greenroom/proto'
import type { BusObserver, LiveOutgoing } from '@greenroom/bus/testing'
import type { CommitFault } from '@greenroom/store'
import type { InProcessWorker } from '@greenroom/worker/testing'

/** How often something goes wrong. */
export interface FaultOptions {
  /** So many times. = 1 */
  readonly times?: number
  /** So many occasions pass before. = 0 */
  readonly after?: number
  /** How likely at each occasion, drawn by the runner's `seed`: from 0 to 1. = 1 */
  readonly chance?: number
}

/** What is told on the live lane: by workers (`accepted`, `events`, `heartbeat`) and by the runner (the others). */
export type LiveKind = 'accepted' | 'events' | 'heartbeat' | 'ack' | 'resume' | 'cancel' | 'terminal-ack'

/**
 * A moment in the life of a worker: it has read what it is to serve (`start`), has a run but no right to start it
 * (`before claim`), has that right (`after claim`), knows how the run ended (`before terminal`), has stored that
 * (`after terminal`).
 */
export type Moment = 'start' | 'before claim' | 'after claim' | 'before terminal' | 'after terminal'

/** The step of a worker on the bus that a moment is. */
const steps: Readonly<Record<Moment, string>> = {
  start: 'started',
  'before claim': 'claim',
  'after claim': 'claim done',
  'before terminal': 'send terminal',
  'after terminal': 'send terminal done',
}

/**
 * Orders what is to go wrong. Each order counts all its occasions from when it is given, those too at which another one
 * takes effect. Of orders that are due at once the first one given does; a message may be delayed and doubled.
 */
export interface Faults {
  /** Loses live messages of a kind on the way: their sender does not know. */
  drop(kind: LiveKind, options?: FaultOptions): void
  /** Delivers live messages of a kind twice. */
  duplicate(kind: LiveKind, options?: FaultOptions): void
  /**
   * Delays live messages of a kind, and those that their sender tells meanwhile: they keep their order.
   *
   * @param forMs - how long, by the runner's clock
   */
  delay(kind: LiveKind, forMs: number, options?: FaultOptions): void
  /** Kills workers at a moment, as `kill -9` does. Workers that are there are killed by {@link InProcessWorker.kill}. */
  kill(moment: Moment, options?: FaultOptions): void
  /**
   * Loses the runner's connection to the bus. A worker's is lost by {@link InProcessWorker.cut}.
   *
   * @param forMs - it comes back by itself after so long, by the runner's clock
   */
  cutRunner(forMs: number): void
  /**
   * Makes commits of the runner's database go wrong: not stored (`fails`), stored but reported as failed (`lies`), or
   * refused because the disk is full (`full`).
   *
   * @throws GreenroomError `BAD_OPTIONS` for a runner with a `dataDir`: its disk is real
   */
  commit(how: 'fails' | 'lies' | 'full', options?: FaultOptions): void
  /** Lets workers not start, as when there is no such program. */
  refuseSpawn(options?: FaultOptions): void
  /** Takes back all that was ordered; what is delayed or cut off comes through. */
  clear(): void
  /** What went wrong so far, in order: `dropped events`, `killed before claim`, … */
  readonly happened: readonly string[]
}

/** What faults are done with. */
export interface FaultTools {
  readonly clock: Clock
  readonly random: Random
  /** Whether the database is in memory. */
  readonly hasOwnStore: boolean
  /** Loses the runner's connection, or lets it come back. */
  readonly connection: { cut(): void; restore(): void }
}

const commits = ['fails', 'lies', 'full'] as const

interface Order {
  /** What is to happen, and at what: the occasion; that of a commit is any commit. */
  readonly what: string
  readonly at: string
  readonly forMs: number
  readonly chance: number
  times: number
  after: number
}

/** Live messages that wait for the end of a delay, with what ends it. */
interface Jam {
  readonly waiting: (() => void)[]
  readonly release: () => void
}

/** {@link Faults}, and the places where they happen. */
export class FaultBoard implements Faults {
  readonly happened: string[] = []
  readonly #tools: FaultTools
  #orders: Order[] = []
  readonly #jams = new Map<object, Jam>()
  #cut: (() => void) | undefined

  constructor(tools: FaultTools) {
    this.#tools = tools
  }

  drop(kind: LiveKind, options?: FaultOptions): void {
    this.#order('dropped', kind, options)
  }

  duplicate(kind: LiveKind, options?: FaultOptions): void {
    this.#order('duplicated', kind, options)
  }

  delay(kind: LiveKind, forMs: number, options?: FaultOptions): void {
    this.#order('delayed', kind, options, forMs)
  }

  kill(moment: Moment, options?: FaultOptions): void {
    this.#order('killed', moment, options)
  }

  commit(how: 'fails' | 'lies' | 'full', options?: FaultOptions): void {
    if (!this.#tools.hasOwnStore)
      throw new GreenroomError(
        'BAD_OPTIONS',
        'faults.commit needs a runner without dataDir, openStore: its disk is real',
      )
    this.#order('commit', how, options)
  }

  refuseSpawn(options?: FaultOptions): void {
    this.#order('refused', 'spawn', options)
  }

  cutRunner(forMs: number): void {
    const { clock, connection } = this.#tools
    this.#cut?.()
    const timer = clock.timer(forMs, () => this.#cut?.())
    this.#cut = () => {
      timer.cancel()
      this.#cut = undefined
      connection.restore()
    }
    this.happened.push('cut runner')
    connection.cut()
  }

  clear(): void {
    this.#orders = []
    for (const { release } of this.#jams.values()) release()
    this.#cut?.()
  }

  // ─── where they happen ─────────────────────────────────────────────────────────────────────────────────────────

  /** What a commit of the database comes to. */
  readonly onCommit = (): CommitFault | undefined => {
    const isMeant = ({ what }: Order): boolean => what === 'commit'
    this.#count(isMeant)
    const at = this.#spring(isMeant)?.at
    const outcome = commits.find((how) => how === at)
    return outcome === undefined ? undefined : { outcome }
  }

  /** Whether a worker may not be started. */
  readonly onSpawn = (): Error | undefined => {
    this.#count(isAt('spawn'))
    return this.#springs('refused', 'spawn') ? new Error('no worker can be started: injected fault') : undefined
  }

  /** Looks into a worker's bus. */
  readonly ofWorker = (worker: InProcessWorker): BusObserver => ({
    ...this.ofSender(),
    onStep: (name) => {
      for (const [moment, step] of Object.entries(steps)) {
        if (step !== name) continue
        this.#count(isAt(moment))
        if (this.#springs('killed', moment)) worker.kill()
      }
    },
  })

  /** Looks into the bus of somebody who sends live messages. */
  ofSender(): BusObserver {
    const line = {}
    return { publish: (message, pass) => this.#publish(line, message, pass) }
  }

  /** As after a lost message or on a slow line, the sender is told nothing. */
  #publish(line: object, { kind }: LiveOutgoing, pass: () => boolean): boolean {
    this.#count(isAt(kind))
    if (this.#springs('dropped', kind)) return true
    const delay = this.#spring(isOrder('delayed', kind))
    if (delay !== undefined) this.#jam(line, delay.forMs)
    const send = this.#springs('duplicated', kind) ? () => pass() && pass() : pass
    const jam = this.#jams.get(line)
    if (jam === undefined) return send()
    jam.waiting.push(send)
    return true
  }

  #jam(line: object, forMs: number): void {
    const waiting = this.#jams.get(line)?.waiting ?? []
    const release = (): void => {
      timer.cancel()
      // The last delay decides.
      if (this.#jams.get(line)?.release !== release) return
      this.#jams.delete(line)
      for (const send of waiting) send()
    }
    const timer = this.#tools.clock.timer(forMs, release)
    this.#jams.set(line, { waiting, release })
  }

  #order(what: string, at: string, options: FaultOptions = {}, forMs = 0): void {
    const { times = 1, after = 0, chance = 1 } = options
    this.#orders.push({ what, at, forMs, times, after, chance })
  }

  /** Something happens that may go wrong. */
  #count(isMeant: (order: Order) => boolean): void {
    for (const order of this.#orders) if (isMeant(order)) order.after -= 1
  }

  #springs(what: string, at: string): boolean {
    return this.#spring(isOrder(what, at)) !== undefined
  }

  /** The first order whose time has come, if one has. */
  #spring(isMeant: (order: Order) => boolean): Order | undefined {
    const order = this.#orders.find(
      (one) => isMeant(one) && one.times > 0 && one.after < 0 && this.#tools.random.fraction() < one.chance,
    )
    if (order === undefined) return undefined
    order.times -= 1
    this.happened.push(`${order.what} ${order.at}`)
    return order
  }
}

const isAt =
  (at: string) =>
  (order: Order): boolean =>
    order.at === at

const isOrder =
  (what: string, at: string) =>
  (order: Order): boolean =>
    order.what === what && order.at === at
