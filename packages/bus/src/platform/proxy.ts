/** A proxy on the level of bytes: what it does with them is decided elsewhere. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where a proxy forwards to: a host and port, or the path of a Unix socket. */
export type ProxyTarget = { readonly host: string; readonly port: number } | { readonly path: string }

/** One client and the server it was forwarded to. */
export interface ProxyPair {
  /** Passes bytes on. */
  toServer(bytes: Uint8Array): void
  toClient(bytes: Uint8Array): void
  /** Cuts both at once. */
  cut(): void
}

/** Decides about one pair. */
export interface ProxyPolicy {
  fromClient(bytes: Uint8Array): void
  fromServer(bytes: Uint8Array): void
  /** It is over, from whichever side. */
  closed(): void
}

/** A listening proxy. */
export interface Proxy {
  /** The port on loopback or the path it listens on. */
  readonly address: { readonly port: number } | { readonly path: string }
  cut(): void
  close(): Promise<void>
}

/**
 * Listens as its target does: on loopback, or on a Unix socket in the folder for temporary files.
 *
 * @param target - where to forward to
 * @param open - called with each new pair
 */
export async function startProxy(target: ProxyTarget, open: (pair: ProxyPair) => ProxyPolicy): Promise<Proxy> {
  const pairs = new Set<ProxyPair>()
  const server = createServer((client) => forward(client, target, open, pairs))
  const path = join(tmpdir(), `greenroom-proxy-${randomBytes(8).toString('hex')}.sock`)
  if ('path' in target) server.listen(path)
  else server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    for (const pair of pairs) pair.cut()
  }
  return {
    address: 'path' in target ? { path } : { port: portOf(server) },
    cut,
    close: async () => {
      if (!server.listening) return
      server.close()
      cut()
      await once(server, 'close')
    },
  }
}

function forward(
  client: Socket,
  target: ProxyTarget,
  open: (pair: ProxyPair) => ProxyPolicy,
  pairs: Set<ProxyPair>,
): void {
  const server = connect(target)
  const pair: ProxyPair = {
    toServer: (bytes) => void (server.destroyed || server.write(bytes)),
    toClient: (bytes) => void (client.destroyed || client.write(bytes)),
    cut: () => {
      client.destroy()
      server.destroy()
    },
  }
  pairs.add(pair)
  const policy = open(pair)
  client.on('data', (bytes: Uint8Array) => policy.fromClient(bytes))
  server.on('data', (bytes: Uint8Array) => policy.fromServer(bytes))
  for (const socket of [client, server]) {
    socket.setNoDelay(true)
    // A reset is an end like any other.
    socket.on('error', () => {})
    socket.on('close', () => {
      pair.cut()
      if (pairs.delete(pair)) policy.closed()
    })
  }
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}
