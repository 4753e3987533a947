/**
 * A resident worker's endpoint in a fabric: a broker on a private socket of the folder, and a record that says where it is.
 *
 * - *P1* One that was given a name is the same after a restart: its socket, its token (as long as its last record lies there) and
 *   what its endpoint keeps on the disk. So what its worker had stored before is told. Any other keeps all in memory, since
 *   nobody would ever look for it again.
 */
import { hostname } from 'node:os'
import { codeOf, GreenroomError, systemClock, systemRandom, type Resident as Shown } from '@greenroom/proto'
import { FabricFolder } from '@greenroom/runner/placement'
import { FabricLease } from './fabric-lease.ts'
import { openEndpoint } from './resident-endpoint.ts'
import type { Post } from './post.ts'

/** What the command line says of it. */
export interface FabricCommand {
  /** The folder. */
  readonly fabric: string
  /** The pool. */
  readonly role: string
  /** Its name there (P1). = a random one */
  readonly id?: string
  /** Where a named one keeps what it does. = `ID.data` in the folder */
  readonly data?: string
}

/**
 * Opens the endpoint; its record is live from `onReady` on.
 *
 * @param command - see {@link FabricCommand}
 * @param shown - what the worker shows of itself
 * @param onError - learns what could not be written
 * @throws GreenroomError `BAD_OPTIONS`, and what keeps a broker from starting
 */
export async function openFabricPost(
  { fabric, role, id: name, data }: FabricCommand,
  { labels = {} }: Shown,
  onError: (error: unknown) => void,
): Promise<Post> {
  if (name === undefined && data !== undefined)
    throw new GreenroomError('BAD_OPTIONS', '--data goes with --id: nobody would find it again')
  const id = name ?? `w-${systemRandom.id().slice(0, 10)}`
  try {
    await using opening = new AsyncDisposableStack()
    const folder = new FabricFolder(fabric)
    const listen = { socket: folder.socketOf(id) }
    const token = folder.read().records.find((record) => record.id === id)?.token ?? systemRandom.id()
    const dir = name === undefined ? null : (data ?? folder.dataOf(id))
    // Before the record: one that runs already under this name keeps its own.
    const endpoint = opening.use(await openEndpoint({ dir, listen, token }))
    const record = { id, role, labels, url: endpoint.url, token, host: hostname(), pid: process.pid }
    const lease = opening.use(new FabricLease({ folder, record, clock: systemClock, onError }))
    const stack = opening.move()
    return {
      ...endpoint,
      onReady: () => lease.begin(),
      onStop: () => lease.end(),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined || !(error instanceof Error)) throw error
    throw new GreenroomError(code, `--fabric: ${error.message}`, { cause: error })
  }
}
