/** A way into a TLS listener of this same program for a process on this machine: the certificate is for other names. */
import { chmodSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { connect } from 'node:tls'
import { privateSocket } from '@greenroom/runner/placement'

/** A private socket whose connections go on to the listener. */
export interface SideDoor {
  /** Where it is: `ws+unix://…`, for this user only. */
  readonly url: string
  /** Closes it, with all that goes through it. */
  close(): void
}

/**
 * Opens one.
 *
 * @param port - of the listener, which this program has: nobody else can answer there, so its certificate is not looked at
 * @param host - the address that it is bound to
 * @param dir - this program's data folder, whose next owner removes what this one left when it was killed; null for none
 */
export async function openSideDoor(port: number, host: string, dir: string | null): Promise<SideDoor> {
  const { path, remove } = await privateSocket(dir, 'door')
  const open = new Set<Socket>()
  const server = createServer((client) => {
    const listener = connect({ port, host, rejectUnauthorized: false })
    for (const [one, other] of [
      [client, listener],
      [listener, client],
    ] as const) {
      open.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  chmodSync(path, 0o600)
  return {
    url: `ws+unix://${path}`,
    close() {
      server.close()
      for (const socket of open) socket.destroy()
      remove()
    },
  }
}
