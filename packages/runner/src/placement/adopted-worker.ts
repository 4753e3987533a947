/**
 * A detached worker that an earlier life of the runner started.
 *
 * - *P4* It is gone when its process is seen dead, or when the bus gave it up. Where no process can be seen (another
 *   machine or container), or none be told from a stranger with its id, one that the bus does not show for
 *   `partitionGraceMs` is declared gone, and none is ever signalled.
 */
import { tailOf } from '@greenroom/bus/process'
import type { Presence, ServedExecutor, Timer } from '@greenroom/proto'
import { leftProcess, type LeftProcess } from '../platform/left-process.ts'
import { Capture } from './capture.ts'
import { retireMs, type LocalPlacementOptions } from './local-options.ts'
import type { LeftWorker, PlacedWorker, WorkerEnd } from './placement.ts'
import { WorkerLog } from './worker-log.ts'

/** See P4. */
export class AdoptedWorker implements PlacedWorker {
  readonly kind = 'local'
  readonly host: string
  readonly address: string
  readonly incarnation: string
  readonly pid: number | undefined
  readonly process: string | undefined
  readonly attached = Promise.resolve(true)
  readonly slots = 1
  readonly log = new WorkerLog()
  readonly gone: Promise<WorkerEnd>
  readonly #options: LocalPlacementOptions
  readonly #process: LeftProcess | undefined
  readonly #lost = Promise.withResolvers<void>()
  readonly #left = Promise.withResolvers<void>()
  #presence: Presence | undefined
  /** Until it counts as lost (P4). */
  #missing: Timer | undefined
  #isLeft = false

  constructor(options: LocalPlacementOptions, { host, address, incarnation, pid, process }: LeftWorker) {
    this.#options = options
    this.host = host
    this.address = address
    this.incarnation = incarnation
    this.pid = pid
    this.process = process
    if (pid !== undefined && process !== undefined && host === options.host)
      this.#process = leftProcess(pid, process, options.clock)
    this.gone = this.#end()
  }

  get serves(): readonly ServedExecutor[] | undefined {
    return this.#presence?.serves
  }

  /** The bus has seen it, or misses it: what it did while this runner was away is told to nobody. */
  seen(presence: Presence, state: 'attached' | 'suspect'): void {
    this.#presence = presence
    if (state === 'attached') this.#missing?.cancel()
    else if (this.#process === undefined) this.#miss()
  }

  /** The bus gave it up. */
  givenUp(): void {
    this.retire()
    if (this.#process === undefined) this.#lost.resolve()
  }

  retire(): void {
    this.#process?.kill('SIGTERM')
    const timer = this.#options.clock.timer(retireMs, () => this.kill(), { background: true })
    void this.gone.then(() => timer.cancel())
  }

  /** One that cannot be seen is fenced, on which it ends itself. */
  kill(): void {
    if (this.#process === undefined) this.#lost.resolve()
    else this.#process.kill('SIGKILL')
  }

  /** Whether it goes on without this runner. */
  get isLeft(): boolean {
    return this.#isLeft
  }

  leave(): void {
    this.#isLeft = true
    this.#process?.leave()
    this.#left.resolve()
  }

  #miss(): void {
    const { clock, partitionGraceMs, peer } = this.#options
    this.#missing?.cancel()
    // While this runner itself is away the bus shows nobody.
    const onLate = (): void => (peer.state === 'attached' ? this.#lost.resolve() : this.#miss())
    this.#missing = clock.timer(partitionGraceMs, onLate, { background: true })
  }

  async #end(): Promise<WorkerEnd> {
    const { address, incarnation } = this
    const { peer, outputOf } = this.#options
    if (this.#process === undefined) this.#miss()
    const over = Promise.race([this.#process?.exited ?? this.#lost.promise, this.#left.promise])
    const output = new Capture(tailOf(outputOf(address), over), (line) => this.log.add(line))
    await over
    this.#missing?.cancel()
    // Nobody here waits for it any more.
    if (this.#isLeft) return new Promise<never>(() => undefined)
    peer.fence({ address, incarnation }).catch(() => undefined)
    await output.ended
    const message = ['the worker ended, and its runner did not see how', ...output.lines(8)].join('\n')
    return { attached: true, exit: { code: null, signal: null }, message }
  }
}
