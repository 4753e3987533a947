/** Where a broker listens, out of its url. */
import { GreenroomError } from '@greenroom/proto'

/** A host that is reached over TCP, or the path of a Unix socket. */
export type Endpoint = { readonly kind: 'tcp'; readonly url: string } | { readonly kind: 'unix'; readonly path: string }

const loopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/

/**
 * Whether a broker is on this machine.
 *
 * @param endpoint - where it listens
 */
export function isLocal(endpoint: Endpoint): boolean {
  return endpoint.kind === 'unix' || loopback.test(new URL(endpoint.url).hostname)
}

/**
 * Reads a broker's url, and refuses one that would show the token to a network.
 *
 * @param url - see {@link parseEndpoint}
 * @param insecure - the network may see it
 * @throws GreenroomError `BAD_OPTIONS`, `INSECURE_URL`
 */
export function safeEndpoint(url: string, insecure = false): Endpoint {
  const endpoint = parseEndpoint(url)
  if (endpoint.kind === 'tcp' && !insecure && !isLocal(endpoint) && new URL(url).protocol === 'ws:')
    throw new GreenroomError('INSECURE_URL', `${url} would show the token to the network: use wss://, or say insecure`)
  return endpoint
}

/**
 * Reads a broker's url. A Unix socket's path is taken as it stands (no percent-encoding); the `:/path` that the `ws`
 * package writes behind it is left out.
 *
 * @param url - `ws://…`, `wss://…`, or `ws+unix://` and a path
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function parseEndpoint(url: string): Endpoint {
  const unix = /^ws\+unix:(?:\/\/)?(\/.+?)(?::\/.*)?$/.exec(url)?.[1]
  if (unix !== undefined) return { kind: 'unix', path: unix }
  const tcp = URL.parse(url)
  if (tcp !== null && tcp.hash === '' && (tcp.protocol === 'ws:' || tcp.protocol === 'wss:'))
    return { kind: 'tcp', url }
  throw new GreenroomError('BAD_OPTIONS', `url: "${url}" is not ws://, wss:// or ws+unix:// and a path`)
}
