/**
 * `greenroom worker`: a worker file as a resident worker, in a pool on a bus that is there (`--bus`), at an endpoint of its
 * own (`--listen`), or at one that runners on this machine find in a folder (`--fabric`).
 *
 * One line on standard output says that it is ready, and where; what else there is to say goes to standard error, with all
 * that the worker writes. The first SIGTERM or SIGINT lets it end its runs, another one ends them.
 */
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connectBus } from '@greenroom/bus'
import { GreenroomError, isName, systemClock, systemRandom, type Resident as Shown } from '@greenroom/proto'
import { entryLauncher } from '@greenroom/runner'
import { readGivenFile } from './platform/given-file.ts'
import { keepAlive, pickEnvironment } from './platform/surroundings.ts'
import { openFabricPost } from './fabric-post.ts'
import { openPost } from './resident-endpoint.ts'
import type { Post } from './post.ts'
import { Resident, type Life, type ResidentOptions } from './resident.ts'

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
  /** A file that holds the bearer token, closed to other users. */
  readonly tokenFile?: string
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
  await using post = await postOf(command, provision.resident)
  using _alive = keepAlive()
  const say = json ? sayJson : sayText
  let isFirst = true
  const resident = new Resident({
    launcher: entryLauncher(file),
    env: pickEnvironment(['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', ...command.env]),
    bus: post.bus,
    fence: post.fence,
    provision: { ...provision, role: post.role },
    onReady({ address }) {
      post.onReady?.()
      say(isFirst ? 'stdout' : 'stderr', 'ready', { role: command.role ?? post.role, url: post.url, address })
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

async function postOf(command: WorkerCommand, shown: Shown): Promise<Post> {
  const { bus, listen, fabric, role, tokenFile } = command
  if ([bus, listen, fabric].filter((place) => place !== undefined).length !== 1)
    throw new GreenroomError(
      'BAD_OPTIONS',
      'one of --bus, to join a pool, --listen, for an endpoint of its own, and --fabric, to be found in a folder',
    )
  checkForeign(command)
  if (listen === undefined && role === undefined) throw new GreenroomError('BAD_OPTIONS', '--role must name the pool')
  const isPool: boolean = role === undefined || isName(role)
  if (!isPool) throw new GreenroomError('BAD_OPTIONS', `--role: "${role}" is no name: letters, digits, ".", "_", "-"`)
  if (fabric !== undefined)
    return openFabricPost({ ...command, fabric, role: role ?? '' }, shown, (error) =>
      process.stderr.write(`greenroom: the record in the fabric could not be written: ${String(error)}\n`),
    )
  if (tokenFile === undefined) throw new GreenroomError('BAD_OPTIONS', '--token-file must name the file of the token')
  return listen === undefined
    ? atBus(bus ?? '', { ...command, role: role ?? '', tokenFile })
    : openPost({ ...command, listen, tokenFile })
}

/** Which flags go with which place only. */
const flagsOf = {
  '--bus': ['role', 'tokenFile', 'ca'],
  '--listen': ['tokenFile', 'tlsCert', 'tlsKey', 'insecure', 'data'],
  '--fabric': ['role', 'id', 'data'],
} as const

/** Refuses what would be ignored. */
function checkForeign(command: WorkerCommand): void {
  const place = command.fabric === undefined ? (command.listen === undefined ? '--bus' : '--listen') : '--fabric'
  const allowed: readonly string[] = flagsOf[place]
  const foreign = Object.values(flagsOf)
    .flat()
    .find((name) => command[name] !== undefined && !allowed.includes(name))
  if (foreign === undefined) return
  const flag = foreign.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  throw new GreenroomError('BAD_OPTIONS', `--${flag} does not go with ${place}`)
}

/** In a pool on a bus that is there. */
function atBus(
  url: string,
  { role, tokenFile, ca: caFile }: { readonly role: string; readonly tokenFile: string; readonly ca?: string },
): Post {
  const ca = caFile === undefined ? {} : { ca: readGivenFile('--ca', caFile, { secret: false }) }
  const token = (): string => readGivenFile('--token-file', tokenFile, { secret: true }).trim()
  token()
  const bus = connectBus({ url, token, ...ca, agent: 'greenroom-supervisor', background: true })
  const id = systemRandom.id()
  const peer = bus.attach({ address: `supervisor.${id}`, incarnation: id, lifetime: 'incarnation' })
  return {
    role,
    url,
    lost: peer.then(async ({ closed }) => {
      const { code, message } = await closed
      throw new GreenroomError(code, message)
    }),
    bus: () => ({ url, token: token(), ...ca }),
    fence: async (life: Life) => (await peer).fence(life),
    [Symbol.asyncDispose]: () => bus.close(),
  }
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
  event: 'ready' | 'ended',
  facts: Readonly<Record<string, string | number>>,
) => void

const sayJson: Say = (stream, event, facts) =>
  void process[stream].write(`${JSON.stringify({ level: event === 'ready' ? 'info' : 'warn', event, ...facts })}\n`)

const sayText: Say = (stream, event, { role = '', url = '', address = '', how = '', afterMs = 0 }) => {
  const text =
    event === 'ready'
      ? `greenroom worker ready at ${url} in ${role} as ${address}`
      : `greenroom: the worker ended (${how}), again in ${afterMs} ms`
  process[stream].write(`${text}\n`)
}
