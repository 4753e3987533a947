/**
 * Local placement: starts processes on this machine.
 *
 * - *P1* A worker may be sent its run before it has attached: its mailbox comes into being by the first send, and takes the
 *   lifetime of the attach. A worker that dies before is declared gone all the same, which closes its mailbox.
 * - *P2* Every process that ended is declared gone on the bus before anyone is told: what follows (revoking, trying
 *   again) is sent on the same connection, so it finds the mailbox closed.
 * - *P3* A process that the bus gave up on (`partitionGraceMs` of silence) is ended by force.
 */
import {
  codeOf,
  GreenroomError,
  limits,
  provisionVersion,
  type Presence,
  type Provision,
  type ServedExecutor,
} from '@greenroom/proto'
import type { Launched, Launcher, WorkerExit } from '../launcher.ts'
import { removeOutput } from '../platform/detached-output.ts'
import { processStamp } from '../platform/process-stamp.ts'
import { Capture } from './capture.ts'
import { AdoptedWorker } from './adopted-worker.ts'
import type { PlacedWorker, Placement, WorkerEnd, WorkerNeed } from './placement.ts'
import { retireMs, type LocalPlacementOptions } from './local-options.ts'
import { WorkerLog } from './worker-log.ts'
import { WorkerToken } from './worker-token.ts'

/** How long a worker keeps what was not acknowledged, in times of `partitionGraceMs`. */
const lingerGraces = 10
/**
 * How long a detached worker waits for its run, in milliseconds. That is sent while the worker starts, so it comes at once or
 * never: a runner that was killed before it could record the attempt has nobody who would end this worker.
 */
const detachedIdleMs = 120_000
/** As long as a token may be, in bytes. */
const tokenBytes = 8_192
/** How long what a dead worker wrote may take to arrive: its own children may hold the pipe open. */
const outputMs = 200

/**
 * Creates the placement that starts processes on this machine.
 *
 * @param options - see {@link LocalPlacementOptions}
 */
export function createLocalPlacement(options: LocalPlacementOptions): Placement {
  const workers = new Map<string, LocalWorker | AdoptedWorker>()
  /** Whom the bus shows, also those that nobody here follows yet. */
  const shown = new Map<string, { readonly presence: Presence; readonly state: 'attached' | 'suspect' }>()
  const unwatch = options.peer.watch(options.presenceRole, ({ incarnation, state, presence }) => {
    const worker = workers.get(incarnation)
    if (state === 'gone') shown.delete(incarnation)
    else shown.set(incarnation, { presence, state })
    if (state === 'gone') worker?.givenUp()
    else worker?.seen(presence, state)
  })
  const ours = (): (LocalWorker | AdoptedWorker)[] => [...workers.values()].filter(({ isLeft }) => !isLeft)
  const settled = async (): Promise<void> => {
    await Promise.all(ours().map((worker) => worker.gone))
  }
  const follow = (worker: LocalWorker | AdoptedWorker): PlacedWorker => {
    workers.set(worker.incarnation, worker)
    void worker.gone.then(() => workers.delete(worker.incarnation))
    return worker
  }
  return {
    get processes() {
      return workers.size
    },
    acquire: (need) => follow(new LocalWorker(options, need)),
    adopt(left) {
      const worker = new AdoptedWorker(options, left)
      const last = shown.get(left.incarnation)
      if (last !== undefined) worker.seen(last.presence, last.state)
      return follow(worker)
    },
    settled,
    close() {
      unwatch()
      for (const worker of ours()) worker.kill()
      return settled()
    },
  }
}

/** See P1 to P3. */
class LocalWorker implements PlacedWorker {
  readonly kind = 'local'
  readonly host: string
  readonly address: string
  readonly incarnation: string
  readonly pid: number | undefined
  readonly process: string | undefined
  readonly attached: Promise<boolean>
  readonly log = new WorkerLog()
  readonly gone: Promise<WorkerEnd>
  readonly #options: LocalPlacementOptions
  readonly #process: Launched
  readonly #seen = Promise.withResolvers<true>()
  readonly #output: string | undefined
  readonly #token: WorkerToken | undefined
  #presence: Presence | undefined
  #isSuspect = false
  /** Why it got no token. */
  #refused: WorkerEnd['error']
  #slots = 1
  #isLeft = false

  constructor(options: LocalPlacementOptions, need: WorkerNeed) {
    this.#options = options
    this.host = options.host
    this.address = `${options.workerNames}${options.random.id()}`
    this.incarnation = options.random.id()
    const { bus, issue } = options
    const document = this.#document(need, bus.token)
    this.#token = issue && new WorkerToken({ ...options, issue, address: this.address, ...this.#tokenNeed(need) })
    this.#output = need.detached ? options.outputOf(this.address) : undefined
    this.#process = launch(options.launcher, {
      role: need.role,
      address: this.address,
      env: options.environment(need.env),
      ...(this.#output === undefined ? {} : { output: this.#output }),
    })
    this.pid = this.#process.pid
    this.process = this.pid === undefined ? undefined : processStamp(this.pid)
    const { stdin, stdout, stderr } = this.#process
    const source = `${need.role}/${this.pid ?? '?'}`
    const output = (line: string): void => {
      this.log.add(line)
      options.logger.output(source, line)
    }
    if (stdout !== undefined) new Capture(stdout, output)
    // A worker that ends before it has read: its exit tells.
    stdin.on('error', () => undefined)
    if (this.#token === undefined) stdin.end(document)
    else void this.#provide(this.#token, need)
    this.gone = this.#end(new Capture(stderr, output))
    this.attached = Promise.race([this.#seen.promise, this.gone.then(() => this.#presence !== undefined)])
  }

  get serves(): readonly ServedExecutor[] | undefined {
    return this.#presence?.serves
  }

  get slots(): number {
    return this.#slots
  }

  /** The bus has seen it. */
  seen(presence: Presence, state: 'attached' | 'suspect'): void {
    if (state === 'attached' && this.#isSuspect) this.#token?.attached()
    this.#isSuspect = state === 'suspect'
    // While it is idle: from then on its free slots are fewer than it has.
    this.#slots = Math.max(this.#slots, presence.slots ?? 1)
    this.#presence = presence
    this.#seen.resolve(true)
  }

  /** Whether it goes on without this runner. */
  get isLeft(): boolean {
    return this.#isLeft
  }

  leave(): void {
    this.#isLeft = true
    this.#token?.stop()
  }

  #tokenNeed({ detached, totalMs = Infinity }: WorkerNeed): {
    readonly role: string
    readonly detachedMs: number | undefined
  } {
    return { role: this.#options.presenceRole, detachedMs: detached ? detachedIdleMs + totalMs : undefined }
  }

  /** It waits for its document: a worker that gets no token is no worker. */
  async #provide(token: WorkerToken, need: WorkerNeed): Promise<void> {
    try {
      this.#process.stdin.end(this.#document(need, await token.first))
    } catch (error) {
      this.#refused = {
        code: codeOf(error) ?? 'INTERNAL',
        message: `no token for the worker: ${asError(error).message}`,
      }
      this.kill()
    }
  }

  /** P3; a detached one that has left the bus by itself is about to end. */
  givenUp(): void {
    if (this.#output === undefined) this.kill()
    else this.retire()
  }

  retire(): void {
    this.#signal('SIGTERM')
    const timer = this.#options.clock.timer(retireMs, () => this.kill(), { background: true })
    void this.gone.then(() => timer.cancel())
  }

  kill(): void {
    this.#signal('SIGKILL')
  }

  /** L4 for launchers that do not keep it: a run has an outcome all the same. */
  #signal(signal: 'SIGTERM' | 'SIGKILL'): void {
    try {
      this.#process.kill(signal)
    } catch (error) {
      this.#options.logger.warn('a worker could not be ended', { address: this.address, error: String(error) })
    }
  }

  #document({ executor, secrets, detached }: WorkerNeed, token: string): Uint8Array {
    const { bus, presenceRole, cancelGraceMs, partitionGraceMs } = this.#options
    const provision: Provision = {
      version: provisionVersion,
      bus: { ...bus, token },
      address: this.address,
      incarnation: this.incarnation,
      role: presenceRole,
      executors: [executor],
      secrets,
      cancelGraceMs,
      partitionGraceMs,
      // It ends with this runner, who may be away from the bus more than once, each time within the grace.
      lingerMs: lingerGraces * partitionGraceMs,
      // Whoever started it knows better when it is not needed any more, but for one that may lose who started it.
      idleMs: detached ? detachedIdleMs : null,
      ...(detached ? { required: ['detached'], detached, slots: 1 } : {}),
    }
    // Not as a message: what is too large for one is refused as a document.
    const bytes = Buffer.from(JSON.stringify(provision))
    if (bytes.length > limits.provisionBytes - tokenBytes)
      throw new GreenroomError('SPEC_TOO_LARGE', `provisioning document of ${bytes.length} bytes`)
    return bytes
  }

  async #end(output: Capture): Promise<WorkerEnd> {
    // L3 for launchers that do not keep it.
    const exit = await this.#process.exited.catch((error: unknown) => ({
      code: null,
      signal: null,
      error: asError(error),
    }))
    const { peer, clock } = this.#options
    this.#token?.stop()
    peer.fence({ address: this.address, incarnation: this.incarnation }).catch(() => undefined)
    const silence = Promise.withResolvers<void>()
    const timer = clock.timer(outputMs, silence.resolve, { background: true })
    await Promise.race([output.ended, silence.promise])
    timer.cancel()
    const error = this.#refused ?? output.error
    if (this.#output !== undefined && exit.code === 0) removeOutput(this.#output)
    return {
      attached: this.#presence !== undefined,
      exit,
      ...(error === undefined ? {} : { error }),
      message: describe(exit, output.lines(8)),
    }
  }
}

/** L1 for launchers that do not keep it. */
function launch(launcher: Launcher, spec: Parameters<Launcher['launch']>[0]): Launched {
  try {
    return launcher.launch(spec)
  } catch (cause) {
    throw new GreenroomError('WORKER_SPAWN_FAILED', asError(cause).message, { cause })
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

function describe({ code, signal, error }: WorkerExit, lines: readonly string[]): string {
  const how =
    error !== undefined
      ? `could not be started: ${error.message}`
      : signal === null
        ? `ended with exit code ${code}`
        : `was ended by ${signal}`
  if (code === 0 && lines.length === 0) return `the worker ${how}: does its file call serveWorker?`
  return [`the worker ${how}`, ...lines].join('\n')
}
