/**
 * The door for whoever decides from another program of the same user, as `greenroom approvals`: approvals over HTTP on a
 * private socket, which the runner's data folder names. Whoever may read that folder holds all of it already.
 */
import { chmodSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { createApprovalHandler, type RunnerApprovals } from '../approval/index.ts'
import { findSocket, privateSocket } from './private-socket.ts'

/** The largest body that is read, in bytes. */
const maxBytes = 4 * 1024 * 1024

/**
 * Opens the door. It keeps no process alive.
 *
 * @param dataDir - the runner's data folder
 * @param approvals - the runner's
 * @returns closes it again
 */
export async function openApprovalsDoor(dataDir: string, approvals: RunnerApprovals): Promise<() => Promise<void>> {
  const socket = await privateSocket(dataDir, 'approvals')
  const handle = createApprovalHandler(approvals)
  const server = createServer((request, response) => {
    // Whoever asks may leave at any time.
    serve(request, response, handle).catch(() => response.destroy())
  }).unref()
  try {
    await listen(server, socket.path)
  } catch (error) {
    socket.remove()
    throw error
  }
  chmodSync(socket.path, 0o600)
  return async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    socket.remove()
  }
}

/**
 * Finds the socket of the runner that has a data folder: HTTP, as `createHandler` has it. One that was killed may have left it
 * behind: then nobody answers there.
 *
 * @param dataDir - the folder
 * @returns its path; undefined when there is none
 *
 * @example
 * ```ts
 * import { findApprovalsDoor } from '@greenroom/runner'
 * import { get } from 'node:http'
 *
 * const socketPath = findApprovalsDoor('.greenroom')
 * if (socketPath !== undefined) get({ socketPath, path: '/approvals?state=pending' }, (answer) => answer.pipe(process.stdout))
 * ```
 */
export function findApprovalsDoor(dataDir: string): string | undefined {
  return findSocket(dataDir, 'approvals')
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
}

async function serve(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  handle: (request: Request) => Promise<Response>,
): Promise<void> {
  const { method = 'GET', url = '/' } = incoming
  const left = new AbortController()
  outgoing.once('close', () => left.abort())
  const body = await bodyOf(incoming)
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const given = { method, signal: left.signal, ...(hasBody ? { body } : {}) }
  const answer = await handle(new Request(new URL(url, 'http://runner'), given))
  outgoing.writeHead(answer.status, Object.fromEntries(answer.headers))
  if (answer.body === null) outgoing.end()
  else await pipeline(answer.body, outgoing)
}

async function bodyOf(incoming: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of incoming) {
    if (!(chunk instanceof Uint8Array)) continue
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw new Error('the body is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
