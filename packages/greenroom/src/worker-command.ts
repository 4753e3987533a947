/**
 * `greenroom worker`: a worker file as a resident worker, in a pool on a bus that is there (`--bus`), at an endpoint of its
 * own (`--listen`), or at one that runners on this machine find in a folder (`--fabric`).
 *
 * One line on standard output says that it is ready, and where; what else there is to say goes to standard error, with all
 * that the worker writes. The first SIGTERM or SIGINT lets it end its runs, another one ends them, and gives up what the bus
 * has not taken by then.
 */
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connectBus, type ConnectedBus, type ConnectOptions } from '@greenroom/bus'
import {
  codeOf,
  encodeMessage,
  GreenroomError,
  isName,
  ownNames,
  poolRole,
  systemClock,
  systemRandom,
  type ErrorCode,
  type Peer,
  type PeerState,
  type Resident as Shown,
} from '@greenroom/proto'
import { entryLauncher } from '@greenroom/runner'
import { connectingInFlags } from './flag-words.ts'
import { readGivenFile } from './platform/given-file.ts'
import { keepAlive, pickEnvironment } from './platform/surroundings.ts'
import { openFabricPost } from './fabric-post.ts'
import { openPost } from './resident-endpoint.ts'
import type { Post } from './post.ts'
import { Resident, type ResidentOptions } from './resident.ts'
import { sayWhenSlow } from './slow-answer.ts'
import { TokenFile } from './token-file.ts'

/** What the command line says. */
export interface WorkerCommand {
  /** Where the bus is. */
  readonly bus?: string
  /** Where its own endpoint is to be: see `resident-endpoint`. */
  readonly listen?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly insecure?: boolean
  readonly data?: string
  /** Where it is to be found: see `fabric-post`. */
  readonly fabric?: string
  /** Its name there. */
  readonly id?: string
  /** A file that holds the bearer token, closed to other users; it is read again before that expires. */
  readonly tokenFile?: string
  /** A file that holds keys of signed tokens, closed to other users; it is read again when it changes. */
  readonly tokenKeyFile?: string
  /** A file with the certificate authority to trust, as PEM. */
  readonly ca?: string
  /** The pool. */
  readonly role?: string
  /** `NAME=VALUE`, as often as wanted. */
  readonly label: readonly string[]
  /** How many runs at a time. */
  readonly slots?: string
  /** `NAME=FILE`, as often as wanted. */
  readonly secret: readonly string[]
  /** Names of environment variables. */
  readonly env: readonly string[]
  /** Write lines of JSON in place of text. */
  readonly json?: boolean
}

/**
 * Runs a worker file until a signal stops it.
 *
 * @param entry - the file
 * @param command - the command line
 * @throws GreenroomError `BAD_OPTIONS`; `UNAUTHORIZED` and its like; what keeps the worker from becoming ready
 */
export async function runWorker(entry: string, command: WorkerCommand): Promise<void> {
  const { json = false } = command
  const provision = provisionOf(command)
  const file = pathToFileURL(resolve(entry))
  readGivenFile('the worker file', entry, { secret: false })
  const say = json ? sayJson : sayText
  await using post = await postOf(command, provision.resident, say)
  using _alive = keepAlive()
  let isFirst = true
  const resident = new Resident({
    launcher: entryLauncher(file),
    env: pickEnvironment(['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', ...command.env]),
    bus: post.bus,
    names: post.names,
    fence: post.fence,
    provision: { ...provision, role: post.role },
    onReady(life) {
      post.onReady(life)
      const { role = post.role } = command
      say(isFirst ? 'stdout' : 'stderr', 'ready', { role, url: post.url, address: life.address })
      isFirst = false
    },
    onLine: (line) => void process.stderr.write(`${line}\n`),
    onEnd: (how, afterMs) => say('stderr', 'ended', { how, afterMs }),
    clock: systemClock,
    random: systemRandom,
  })
  const stop = (): void => {
    post.onStop?.()
    resident.stop()
  }
  process.on('SIGTERM', stop).on('SIGINT', stop)
  try {
    await Promise.race([resident.ended, post.lost])
  } catch (error) {
    resident.stop()
    resident.stop()
    await resident.ended.catch(() => undefined)
    throw error
  }
}

/** Which options go with which place only. */
const only = {
  bus: ['role', 'tokenFile', 'insecure', 'ca'],
  listen: ['tokenFile', 'tokenKeyFile', 'insecure', 'tlsCert', 'tlsKey', 'data'],
  fabric: ['role', 'id', 'data'],
} as const

async function postOf(command: WorkerCommand, shown: Shown, say: Say): Promise<Post> {
  const { bus, listen, fabric, role } = command
  const places = (['bus', 'listen', 'fabric'] as const).filter((name) => command[name] !== undefined)
  const [own, other] = places
  if (own === undefined || other !== undefined)
    throw new GreenroomError(
      'BAD_OPTIONS',
      'one of --bus, to join a pool, --listen, for an endpoint of its own, and --fabric, to be found in a folder',
    )
  checkStray(command, own)
  const isPool: boolean = role === undefined || isName(role)
  if (!isPool) throw new GreenroomError('BAD_OPTIONS', `--role: "${role}" is no name: letters, digits, ".", "_", "-"`)
  if (fabric !== undefined) {
    if (role === undefined) throw new GreenroomError('BAD_OPTIONS', '--role must name the pool')
    return openFabricPost({ ...command, fabric, role }, shown, (error) =>
      process.stderr.write(`greenroom: the record in the fabric could not be written: ${String(error)}\n`),
    )
  }
  return bus === undefined ? openPost({ ...command, listen: listen ?? '' }) : atBus(bus, command, say)
}

/** Refuses what would be ignored. */
function checkStray(command: WorkerCommand, own: keyof typeof only): void {
  const allowed: readonly string[] = only[own]
  for (const [place, names] of Object.entries(only)) {
    const stray = names.find((name) => command[name] !== undefined && !allowed.includes(name))
    if (stray === undefined) continue
    const flag = stray.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    throw new GreenroomError('BAD_OPTIONS', `--${flag} goes with --${place}, not with --${own}`)
  }
}

/** In a pool on a bus that is there. */
function atBus(url: string, { role, tokenFile, ca: caFile, insecure = false }: WorkerCommand, say: Say): Post {
  if (role === undefined) throw new GreenroomError('BAD_OPTIONS', '--role must name the pool')
  if (tokenFile === undefined) throw new GreenroomError('BAD_OPTIONS', '--bus goes together with --token-file')
  const ca = caFile === undefined ? {} : { ca: readGivenFile('--ca', caFile, { secret: false }) }
  const place = { url, ...ca, ...(insecure && { insecure }) }
  let worker: string | undefined
  let own: Peer | undefined
  const file = new TokenFile(tokenFile, {
    clock: systemClock,
    warn: (text) => say('stderr', 'token', { text }),
    inform: (text) => say('stderr', 'renewed', { text }),
    async take(newer, present) {
      const isAway = (): boolean => own?.state !== 'attached'
      const away = new GreenroomError('CONNECT_FAILED', 'the bus is away')
      // Nobody can say what it is worth, and a wrong one would be final when the bus is back.
      if (present !== undefined && isAway()) throw away
      await bus.renew(newer)
      if (present === undefined || !isAway()) return
      await bus.renew(present)
      throw away
    },
    onLook(token) {
      const to = worker
      if (to === undefined) return
      const payload = encodeMessage('token', token)
      peer.then((it) => it.publish({ to, kind: 'token', payload })).catch(() => undefined)
    },
  })
  const bus = busOf({ ...place, token: file.source, agent: 'greenroom-supervisor', background: true })
  const id = systemRandom.id()
  const address = `${ownNames('supervisor', file.subject)}${id}`
  const onState = (state: PeerState): void => {
    if (state !== 'closed') say('stderr', state === 'lost' ? 'lost' : 'back', { url })
  }
  const peer = bus.attach({ address, incarnation: id, lifetime: 'incarnation', onState })
  const slow = sayWhenSlow(systemClock, () => say('stderr', 'waiting', { url }))
  peer
    .then((it) => (own = it))
    .catch(() => undefined)
    .finally(() => slow[Symbol.dispose]())
  return {
    role: poolRole(role),
    url,
    names: ownNames('resident', file.subject),
    lost: endOf(peer, file),
    bus: () => ({ ...place, token: file.token }),
    onReady: ({ address: of }) => void (worker = of),
    fence: async (life) => (await peer).fence(life),
    async [Symbol.asyncDispose]() {
      file[Symbol.dispose]()
      slow[Symbol.dispose]()
      await bus.close()
    },
  }
}

/** @throws GreenroomError `BAD_OPTIONS`, `INSECURE_URL`, in the words of whoever typed flags */
function busOf(options: ConnectOptions): ConnectedBus {
  try {
    return connectBus(options)
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined || !(error instanceof Error)) throw error
    throw new GreenroomError(code, `--bus: ${connectingInFlags(code, error.message)}`, { cause: error })
  }
}

async function endOf(peer: Promise<Peer>, file: TokenFile): Promise<never> {
  let end: { readonly code: ErrorCode; readonly message: string }
  try {
    end = await (await peer).closed
  } catch (error) {
    end = { code: codeOf(error) ?? 'INTERNAL', message: error instanceof Error ? error.message : String(error) }
  }
  throw file.explain(end.code, connectingInFlags(end.code, end.message))
}

function provisionOf({ label, slots, secret }: WorkerCommand): Pick<
  ResidentOptions['provision'],
  'slots' | 'secrets'
> & {
  readonly resident: Shown
} {
  const count = Number(slots ?? 1)
  if (!Number.isInteger(count) || count < 1) throw new GreenroomError('BAD_OPTIONS', '--slots is a number, at least 1')
  const files = Object.entries(pairs('--secret', secret))
  return {
    ...(slots === undefined ? {} : { slots: count }),
    resident: { labels: pairs('--label', label), host: hostname() },
    secrets: Object.fromEntries(
      files.map(([name, path]) => [name, readGivenFile('--secret', path, { secret: true }).trim()]),
    ),
  }
}

function pairs(flag: string, words: readonly string[]): Record<string, string> {
  const split = words.map((word): [string, string] => {
    const at = word.indexOf('=')
    if (at < 1) throw new GreenroomError('BAD_OPTIONS', `${flag} is NAME=VALUE, not "${word}"`)
    return [word.slice(0, at), word.slice(at + 1)]
  })
  return Object.fromEntries(split)
}

type Say = (
  stream: 'stdout' | 'stderr',
  event: 'ready' | 'ended' | 'token' | 'renewed' | 'waiting' | 'lost' | 'back',
  facts: Readonly<Record<string, string | number>>,
) => void

/** What may want somebody to look at it. */
const warnings: ReadonlySet<string> = new Set<Parameters<Say>[1]>(['ended', 'token', 'lost'])

const sayJson: Say = (stream, event, facts) =>
  void process[stream].write(`${JSON.stringify({ level: warnings.has(event) ? 'warn' : 'info', event, ...facts })}\n`)

const sayText: Say = (stream, event, { role = '', url = '', address = '', how = '', afterMs = 0, text = '' }) => {
  const said = {
    ready: `greenroom worker ready at ${url} in ${role} as ${address}`,
    ended: `greenroom: the worker ended (${how}), again in ${afterMs} ms`,
    token: `greenroom: ${text}`,
    renewed: `greenroom: ${text}`,
    waiting: `greenroom: waiting for an answer of ${url}`,
    lost: `greenroom: the connection to the bus was lost; what its runs say waits until ${url} is back`,
    back: 'greenroom: the connection to the bus is back',
  }
  process[stream].write(`${said[event]}\n`)
}
