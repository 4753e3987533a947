/**
 * A resident worker's own endpoint: a broker in this program, which runners dial, and its process too.
 *
 * - *H1* What runners are to be told of a worker that ended is in its data folder, also over a restart of this program.
 * - *H2* Whoever served there in an earlier life of this program is over: they are declared gone before anybody connects again.
 */
import { createBroker, type Broker, type BrokerOptions } from '@greenroom/broker'
import { GreenroomError, ownNames, residentRole, systemRandom } from '@greenroom/proto'
import { resolve } from 'node:path'
import { followBrokerFiles } from './broker-files.ts'
import { brokerLogger } from './broker-log.ts'
import { inFlags } from './flag-words.ts'
import { parseListenAddress } from './listen-address.ts'
import { readCertificate } from './platform/certificate.ts'
import { readGivenFile } from './platform/given-file.ts'
import { openSideDoor } from './platform/side-door.ts'
import type { Post } from './post.ts'
import { readTokenKeys } from './token-keys.ts'

/** What the command line says of it. */
export interface EndpointCommand {
  /** See {@link parseListenAddress}. */
  readonly listen: string
  /** A file that holds the plain token which runners show, closed to other users. */
  readonly tokenFile?: string
  /** A file that holds keys of the signed tokens which they show, closed to other users; it is read again when it changes. */
  readonly tokenKeyFile?: string
  /** Files with certificate and key as PEM: serve `wss`; they are read again when they change. */
  readonly tlsCert?: string
  readonly tlsKey?: string
  /** Listen off loopback without TLS all the same. */
  readonly insecure?: boolean
  /** The data folder. = `.greenroom-worker` in the working directory */
  readonly data?: string
  /** Write lines of JSON in place of text. */
  readonly json?: boolean
}

/**
 * Opens the endpoint.
 *
 * @param command - see {@link EndpointCommand}
 * @throws GreenroomError `BAD_OPTIONS`, and what keeps a broker from starting
 */
export async function openPost(command: EndpointCommand): Promise<Post> {
  const { listen, data = '.greenroom-worker', tlsCert, tlsKey, insecure = false, tokenKeyFile, json = false } = command
  const address = parseListenAddress(listen)
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    throw new GreenroomError('BAD_OPTIONS', '--tls-cert and --tls-key go together')
  const tls = tlsCert === undefined || tlsKey === undefined ? undefined : readCertificate(tlsCert, tlsKey, '--tls-')
  const token = tokenOf(command)
  const keys = tokenKeyFile === undefined ? {} : { tokenKeys: readTokenKeys('--token-key-file', tokenKeyFile) }
  const place =
    'socket' in address ? { socket: resolve(address.socket) } : { ...address, insecure, ...(tls && { tls }) }
  const files = { tokenKeyFile, cert: tlsCert, key: tlsKey }
  return openEndpoint({ dir: data, listen: place, token, ...keys }, (broker) =>
    followBrokerFiles(broker, files, { flags: '--tls-', logger: brokerLogger(json) }),
  ).catch((error: unknown) => Promise.reject(inFlags(error, 'tls-')))
}

/** What an endpoint's broker is told. */
export interface EndpointOptions extends Pick<BrokerOptions, 'listen' | 'tokenKeys'> {
  /** Where it keeps what runners are to be told; null for in memory. */
  readonly dir: string | null
  /** What its worker shows, and who else has it. */
  readonly token: string
}

/**
 * Opens an endpoint.
 *
 * @param options - see {@link EndpointOptions}
 * @param follow - does what goes on beside it, and ends with it
 * @throws GreenroomError what keeps a broker from starting
 */
export async function openEndpoint(options: EndpointOptions, follow?: (broker: Broker) => Disposable): Promise<Post> {
  await using opening = new AsyncDisposableStack()
  const broker = opening.use(await createBroker(options))
  if (follow !== undefined) opening.use(follow(broker))
  const url = broker.url ?? ''
  const id = systemRandom.id()
  const peer = await broker.bus.attach({ address: `supervisor.${id}`, incarnation: id, lifetime: 'incarnation' })
  for (const life of await earlierLives(broker)) await peer.fence(life)
  const isSecure = url.startsWith('wss:')
  const door = isSecure ? await openSideDoor(Number(new URL(url).port), hostOf(url), options.dir) : undefined
  if (door !== undefined) opening.defer(() => door.close())
  const stack = opening.move()
  const lost = broker.closed.then((): never => {
    throw new GreenroomError('CLOSED', 'the endpoint ended by itself')
  })
  // Whoever could not use it closes it, and does not listen.
  lost.catch(() => undefined)
  return {
    role: residentRole,
    url,
    names: ownNames('resident', undefined),
    onReady: () => undefined,
    lost,
    bus: () => ({
      url: door?.url ?? url.replace(/\/\/(?:0\.0\.0\.0|\[::\])(?=:)/, '//localhost'),
      token: options.token,
    }),
    fence: (life) => peer.fence(life),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** Who serves there shows it, too: where runners show signed ones, nobody else knows it. */
function tokenOf({ tokenFile, tokenKeyFile }: EndpointCommand): string {
  if (tokenFile !== undefined) return readGivenFile('--token-file', tokenFile, { secret: true }).trim()
  if (tokenKeyFile !== undefined) return systemRandom.id() + systemRandom.id()
  throw new GreenroomError('BAD_OPTIONS', 'whom does it let in? Give --token-file, --token-key-file, or both')
}

/** H2 */
async function earlierLives({ operator }: Broker): Promise<{ address: string; incarnation: string }[]> {
  const mailboxes = await operator.mailboxes()
  return mailboxes.flatMap(({ address, incarnation, lifetime }) =>
    lifetime === 'incarnation' && incarnation !== undefined && address.startsWith(ownNames('resident', undefined))
      ? [{ address, incarnation }]
      : [],
  )
}

/** As which this machine reaches a listener of its own. */
function hostOf(url: string): string {
  const { hostname } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  return host === '0.0.0.0' || host === '::' ? 'localhost' : host
}
