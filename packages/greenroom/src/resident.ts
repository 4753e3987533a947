/**
 * A resident worker's supervisor: starts its process, and starts it anew when it has ended, until it is told to stop.
 *
 * - *U1* Each process is another life: it has a mailbox of its own. The last one is declared gone as soon as it has ended.
 * - *U2* What ends before it was ever ready would do so again: that is an error. What was ready once is started again and
 *   again, after pauses that grow from 200 ms to 30 s; one that stood for a minute begins anew with the short ones.
 * - *U3* The first `stop` lets it end its runs, the second ends them, the third ends the process.
 */
import { Backoff } from '@greenroom/bus'
import {
  encodePayload,
  GreenroomError,
  isErrorCode,
  provisionVersion,
  type BusAddress,
  type Clock,
  type FenceTarget,
  type Provision,
  type Random,
} from '@greenroom/proto'
import type { Launched, Launcher } from '@greenroom/runner'
import { Capture } from '@greenroom/runner/placement'

/** Which life of a worker. */
export type Life = Pick<Provision, 'address' | 'incarnation'>

/** What a resident worker is made of. */
export interface ResidentOptions {
  /** Starts its process. */
  readonly launcher: Launcher
  /** Its whole environment. */
  readonly env: Readonly<Record<string, string>>
  /** Where it finds its bus; asked for each process. */
  readonly bus: () => BusAddress
  /** How the names of its mailboxes begin. */
  readonly names: string
  /** What else it is told. */
  readonly provision: Pick<Provision, 'role' | 'slots' | 'secrets' | 'resident'>
  /** Declares a life gone on the bus. */
  readonly fence: (life: FenceTarget) => Promise<void>
  /** Called whenever it is attached. */
  readonly onReady: (life: Life) => void
  /** Takes what its process writes, in lines. */
  readonly onLine: (line: string) => void
  /** Learns that its process ended, and is started again after so many milliseconds. */
  readonly onEnd: (how: string, afterMs: number) => void
  readonly clock: Clock
  readonly random: Random
}

const readyLine = /^greenroom-ready \{/
/** U2 */
const pauses = { minMs: 200, maxMs: 30_000 }
const steadyMs = 60_000
/** How long what a dead process wrote may take to arrive, in milliseconds. */
const outputMs = 200

/** See U1 to U3. */
export class Resident {
  /** Resolves when it was stopped; rejects as U2 says. */
  readonly ended: Promise<void>
  readonly #options: ResidentOptions
  readonly #stopped = Promise.withResolvers<void>()
  #process: Launched | undefined
  #stops = 0
  #wasReady = false

  /** @param options - see {@link ResidentOptions} */
  constructor(options: ResidentOptions) {
    this.#options = options
    this.ended = this.#live()
  }

  /** U3 */
  stop(): void {
    this.#stops += 1
    this.#stopped.resolve()
    this.#process?.kill(this.#stops > 2 ? 'SIGKILL' : 'SIGTERM')
  }

  async #live(): Promise<void> {
    const { clock, random, onEnd } = this.#options
    const backoff = new Backoff(pauses, random)
    while (this.#stops === 0) {
      const since = clock.monotonic()
      const how = await this.#once()
      if (this.#stops > 0) return
      if (clock.monotonic() - since >= steadyMs) backoff.reset()
      const afterMs = Math.round(backoff.next())
      onEnd(how, afterMs)
      await this.#pause(afterMs, this.#stopped.promise)
    }
  }

  async #pause(ms: number, enough: Promise<void>): Promise<void> {
    const over = Promise.withResolvers<void>()
    const timer = this.#options.clock.timer(ms, over.resolve)
    await Promise.race([over.promise, enough])
    timer.cancel()
  }

  /** One process, from its start to its end; says how that came. */
  async #once(): Promise<string> {
    const { launcher, env, bus, names, provision, random, fence, onLine } = this.#options
    const life: Life = { address: `${names}${random.id()}`, incarnation: random.id() }
    const document: Provision = {
      version: provisionVersion,
      required: ['resident'],
      bus: bus(),
      ...life,
      executors: [],
      idleMs: null,
      ...provision,
    }
    const launched = launcher.launch({ role: provision.role, address: life.address, env })
    this.#process = launched
    const { stdin, stdout, stderr, exited } = launched
    stdin.on('error', () => undefined)
    stdin.end(encodePayload(document))
    if (stdout !== undefined) new Capture(stdout, onLine)
    const output = new Capture(stderr, (line) => (readyLine.test(line) ? this.#ready(life) : onLine(line)))
    const { code, signal, error } = await exited
    this.#process = undefined
    void fence({ ...life, seenDead: true }).catch(() => undefined)
    // What left its group may hold the pipe open for ever.
    await this.#pause(outputMs, output.ended)
    const told = output.error
    const how = error?.message ?? told?.message ?? (signal === null ? `exit code ${code}` : signal)
    if (this.#wasReady || this.#stops > 0) return how
    const hint = code === 0 ? 'it ended at once: does its file call serveWorker?' : how
    const why = [hint, ...output.lines(8)].join('\n')
    throw new GreenroomError(isErrorCode(told?.code) ? told.code : 'WORKER_SPAWN_FAILED', why)
  }

  #ready(life: Life): void {
    this.#wasReady = true
    this.#options.onReady(life)
  }
}
