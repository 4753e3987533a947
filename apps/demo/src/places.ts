/**
 * Places: where surveyors work. One is at a pool worker, one at a remote worker, all others are local.
 *
 * - *P1* The pool worker joins a broker that is in this program; the remote worker hosts an endpoint of its own, over `wss`
 *   with a certificate of this survey, which the runner trusts and none else. Both are programs of their own, and on this
 *   machine only because a demo has no other.
 * - *P2* Whoever is at the broker has a signed token for what it does there: a runner one of a runner, the pool worker one of a
 *   resident worker, with which nobody can read what runners are told. The key is in this program only. The remote's endpoint
 *   has a token of its own, which is worth nothing at the broker.
 * - *P3* Local surveyors wait for neither. A place is opened by the first who asks for it.
 * - *P4* The children of a surveyor are local, as it is.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createBroker, signToken } from '@greenroom/broker'
import { residentGrants, runnerGrants, type Grants } from '@greenroom/proto'
import {
  createRunner,
  workerEntry,
  type ApprovalOptions,
  type ApprovalRecord,
  type Logger,
  type RemotePlacement,
  type Run,
} from 'greenroom'
import { makeCertificate } from './certificate.ts'
import type { History } from './history.ts'
import { startResident, workerFile } from './resident.ts'
import { HELPERS } from './share.ts'
import type { Sum } from './tally.ts'
import type { executors } from './worker.ts'

/** Where a surveyor works. */
export type Place = 'local' | 'pool' | 'remote'

/** Starts a surveyor over these files, which may make `depth` generations of surveyors of them: 1 is itself alone. */
export type StartSurveyor = (files: readonly string[], depth: number) => Run<Sum>

/**
 * Where a surveyor works: of two one is at the pool worker, of three one at the remote worker, too; any more are local.
 *
 * @param at - which one, from 0
 */
export const placeOf = (at: number): Place => (['local', 'pool', 'remote'] as const)[at] ?? 'local'

/** How long a worker may be cut off before it counts as lost, in milliseconds; a program that was killed is just that. */
const GRACE = 10_000
/** How long a surveyor waits for the pool worker, which may be starting again, in milliseconds. */
const WAIT = 10_000
/** The pool's name. */
const POOL = 'surveyors'
const TASK = 'Count these files'
/** How long the historian may take when nobody has to be asked, in milliseconds: a repository may keep git waiting for ever. */
const HISTORY = 120_000
/** How long tokens last, in milliseconds: longer than any survey. */
const TOKEN = 30 * 86_400_000

/** What places are made with. */
export interface PlacesOptions {
  /** The folder to survey. */
  readonly root: string
  /** For data, tokens and certificates; only this user may enter it. */
  readonly folder: string
  /** How many surveyors work at a time. */
  readonly children: number
  /** How many generations of surveyors there are. */
  readonly depth: number
  /** Cancels what runs, and gives up opening places. */
  readonly signal: AbortSignal
  readonly logger: Logger
  /** Who decides on what the historian asks for. */
  readonly approvals: ApprovalOptions
  /** How long the historian may take beside the time for that decision, in milliseconds. = 120,000 */
  readonly historianMs?: number
}

/** The broker, as one of its clients finds it. */
interface Door {
  readonly url: string
  readonly token: string
}

/** The broker, and who may do what there (P2). */
interface Hall {
  readonly url: string
  /** Signs a token: of whom, and for what. */
  sign(subject: string, grantsOf: (subject: string) => Grants): Promise<string>
}

/** What a runner at the broker may do, for its workers' tokens too. */
const asRunner = (subject: string): Grants => runnerGrants(subject, TOKEN)

/** See P1 to P3. Leaving ends all that was started. */
export class Places implements AsyncDisposable {
  readonly #options: PlacesOptions
  readonly #hall: Hall
  readonly #runner: Awaited<ReturnType<typeof createHomeRunner>>
  readonly #stack: AsyncDisposableStack
  readonly #closing = new AbortController()
  readonly #signal: AbortSignal
  readonly #opened = new Map<Place, Promise<StartSurveyor>>()

  private constructor(
    options: PlacesOptions,
    hall: Hall,
    runner: Awaited<ReturnType<typeof createHomeRunner>>,
    stack: AsyncDisposableStack,
  ) {
    this.#options = options
    this.#hall = hall
    this.#runner = runner
    this.#stack = stack
    this.#signal = AbortSignal.any([options.signal, this.#closing.signal])
  }

  /** Opens what is local, and the broker. */
  static async open(options: PlacesOptions): Promise<Places> {
    await using opening = new AsyncDisposableStack()
    const key = randomSecret()
    const limits = { pingMs: Math.ceil(GRACE / 3) }
    const listen = { port: 0 }
    const broker = opening.use(await createBroker({ listen, tokenKeys: [key], partitionGraceMs: GRACE, limits }))
    const hall: Hall = {
      url: broker.url ?? '',
      sign: (subject, grantsOf) =>
        signToken(key, { subject, grants: grantsOf(subject), expiresAt: Date.now() + TOKEN }),
    }
    const runner = opening.use(await createHomeRunner(options, await doorOf(hall, 'home')))
    return new Places(options, hall, runner, opening.move())
  }

  /**
   * Opens a place, once.
   *
   * @returns resolves when surveyors can be started there; rejects with why they cannot
   */
  at(place: Place): Promise<StartSurveyor> {
    const opened = this.#opened.get(place) ?? this.#open(place)
    this.#opened.set(place, opened)
    return opened
  }

  /** Starts the historian. */
  startHistorian(): Run<History> {
    return this.#runner.run({ role: 'historian', task: 'Tell the history', signal: this.#options.signal })
  }

  /** Finds a surveyor that a local one has started. */
  attach(runId: string): Promise<Run> {
    return this.#runner.attach(runId)
  }

  /** What a run asked for, with what was decided. */
  asked(runId: string): readonly ApprovalRecord[] {
    return this.#runner.approvals.list({ runId })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('the survey is over'))
    await Promise.allSettled(this.#opened.values())
    await this.#stack.disposeAsync()
  }

  async #open(place: Place): Promise<StartSurveyor> {
    const { root, signal } = this.#options
    const spec = (files: readonly string[], depth: number) => ({
      task: TASK,
      input: { root, files: [...files], depth },
      signal,
    })
    if (place === 'local') return (...share) => this.#runner.run({ role: 'surveyor', ...spec(...share) })
    if (place === 'pool') {
      const token = await this.#hall.sign(place, residentGrants)
      await this.#resident(place, token, ['--bus', this.#hall.url, '--role', POOL])
      return (...share) => this.#runner.run({ role: 'surveyor-pool', ...spec(...share) })
    }
    const away = await this.#remoteRunner()
    return (...share) => away.run({ role: 'surveyor-remote', ...spec(...share) })
  }

  /** A runner of its own: where the remote worker listens is known only when it does. */
  async #remoteRunner() {
    const { folder } = this.#options
    const { cert, key } = await makeCertificate()
    this.#signal.throwIfAborted()
    const [tlsCert, tlsKey] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    writeFileSync(tlsCert, cert)
    writeFileSync(tlsKey, key, { mode: 0o600 })
    const tls = ['--tls-cert', tlsCert, '--tls-key', tlsKey]
    const token = randomSecret()
    const remote = await this.#resident('remote', token, ['--listen', '127.0.0.1:0', ...tls, '--data', 'data'])
    const door = await doorOf(this.#hall, 'away')
    return this.#stack.use(await createAwayRunner(this.#options, door, { remote, token, ca: cert }))
  }

  /** Starts a resident worker, and waits until it is ready. */
  #resident(name: Place, token: string, args: readonly string[]): Promise<string> {
    const { folder, logger } = this.#options
    const cwd = join(folder, name)
    mkdirSync(cwd, { mode: 0o700 })
    const tokenFile = join(cwd, 'token')
    writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 })
    const options = {
      args: [...args, '--token-file', tokenFile],
      folder: cwd,
      signal: this.#signal,
      onLine: (line: string) => logger.output(`${name} worker`, line),
    }
    return this.#stack.use(startResident(options)).ready
  }
}

const randomSecret = (): string => randomBytes(32).toString('hex')

const doorOf = async (hall: Hall, subject: string): Promise<Door> => ({
  url: hall.url,
  token: await hall.sign(subject, asRunner),
})

const common = ({ logger }: PlacesOptions, bus: Door) => ({
  worker: workerEntry<typeof executors>(workerFile),
  bus,
  logger,
  partitionGraceMs: GRACE,
})

/** The runner of what is local, and of the pool. */
function createHomeRunner(options: PlacesOptions, door: Door) {
  const { root: workspace, folder, children, depth, approvals, historianMs = HISTORY } = options
  const surveyors = children + HELPERS * (depth - 1)
  // The time in which it waits for a person counts, too.
  const limits = { totalMs: historianMs + (approvals.deadlineMs ?? 0) }
  return createRunner({
    ...common(options, door),
    approvals,
    roles: {
      surveyor: { executor: 'surveyor', workspace },
      'surveyor-pool': { executor: 'surveyor', workspace, placement: { pool: POOL, maxWaitMs: WAIT } },
      historian: { executor: 'historian', workspace, limits },
    },
    dataDir: join(folder, 'runner'),
    // The historian is one more.
    admission: { maxExecuting: surveyors + 1, maxProcesses: 2 * surveyors + 1 },
    pool: { maxIdle: surveyors, maxIdlePerKey: surveyors },
  })
}

function createAwayRunner(options: PlacesOptions, door: Door, placement: RemotePlacement) {
  const { root: workspace } = options
  const roles = { 'surveyor-remote': { executor: 'surveyor', workspace, placement } } as const
  return createRunner({ ...common(options, door), roles, dataDir: null })
}
