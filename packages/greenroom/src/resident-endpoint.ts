/**
 * A resident worker's own endpoint: a broker in this program, which runners dial, and its process too.
 *
 * - *H1* What runners are to be told of a worker that ended is in its data folder, also over a restart of this program.
 * - *H2* Whoever served there in an earlier life of this program is over: they are declared gone before anybody connects again.
 */
import { createBroker, type Broker, type Listen } from '@greenroom/broker'
import { GreenroomError, residentRole, systemRandom } from '@greenroom/proto'
import { resolve } from 'node:path'
import { inFlags } from './flag-words.ts'
import { parseListenAddress } from './listen-address.ts'
import { readCertificate } from './platform/certificate.ts'
import { readGivenFile } from './platform/given-file.ts'
import { openSideDoor } from './platform/side-door.ts'
import type { Post } from './post.ts'

/** What the command line says of it. */
export interface EndpointCommand {
  /** See {@link parseListenAddress}. */
  readonly listen: string
  /** A file that holds the bearer token which runners show, closed to other users. */
  readonly tokenFile: string
  /** Files with certificate and key as PEM: serve `wss`. */
  readonly tlsCert?: string
  readonly tlsKey?: string
  /** Listen off loopback without TLS all the same. */
  readonly insecure?: boolean
  /** The data folder. = `.greenroom-worker` in the working directory */
  readonly data?: string
}

/**
 * Opens the endpoint.
 *
 * @param command - see {@link EndpointCommand}
 * @throws GreenroomError `BAD_OPTIONS`, and what keeps a broker from starting
 */
export async function openPost(command: EndpointCommand): Promise<Post> {
  const { listen, tokenFile, data = '.greenroom-worker', tlsCert, tlsKey, insecure = false } = command
  const address = parseListenAddress(listen)
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    throw new GreenroomError('BAD_OPTIONS', '--tls-cert and --tls-key go together')
  const tls = tlsCert === undefined || tlsKey === undefined ? undefined : readCertificate(tlsCert, tlsKey, '--tls-')
  const token = readGivenFile('--token-file', tokenFile, { secret: true }).trim()
  const place: Listen =
    'socket' in address ? { socket: resolve(address.socket) } : { ...address, insecure, ...(tls && { tls }) }
  return openEndpoint({ dir: data, listen: place, token }).catch((error: unknown) => Promise.reject(inFlags(error)))
}

/**
 * Opens an endpoint.
 *
 * @param parts - `dir`: where it keeps what runners are to be told, null for in memory; `listen` and `token` as of a broker
 * @throws GreenroomError what keeps a broker from starting
 */
export async function openEndpoint({
  dir,
  listen,
  token,
}: {
  readonly dir: string | null
  readonly listen: Listen
  readonly token: string
}): Promise<Post> {
  await using opening = new AsyncDisposableStack()
  const broker = opening.use(await createBroker({ dir, listen, token }))
  const url = broker.url ?? ''
  const id = systemRandom.id()
  const peer = await broker.bus.attach({ address: `supervisor.${id}`, incarnation: id, lifetime: 'incarnation' })
  for (const life of await earlierLives(broker)) await peer.fence(life)
  const isSecure = url.startsWith('wss:')
  const door = isSecure ? await openSideDoor(Number(new URL(url).port), hostOf(url)) : undefined
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
    lost,
    bus: () => ({ url: door?.url ?? url.replace(/\/\/(?:0\.0\.0\.0|\[::\])(?=:)/, '//localhost'), token }),
    fence: (life) => peer.fence(life),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** H2 */
async function earlierLives({ operator }: Broker): Promise<{ address: string; incarnation: string }[]> {
  const mailboxes = await operator.mailboxes()
  return mailboxes.flatMap(({ address, incarnation, lifetime }) =>
    lifetime === 'incarnation' && incarnation !== undefined && address.startsWith('worker.')
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
