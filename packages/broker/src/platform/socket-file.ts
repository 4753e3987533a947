/** The file of a Unix socket: private, and not left over from a dead owner. */
import { GreenroomError } from '@greenroom/proto'
import { makeFolder } from '@greenroom/store'
import { lstatSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'

/** What connecting to the socket of a dead owner says; the second, when it has just been removed. */
const refusals: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'ENOENT'])

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    // Any other error comes from a live owner, who is busy for example.
    socket.once('error', (error) => resolve(!('code' in error) || !refusals.has(error.code)))
  })
}

/**
 * Makes the socket's folder (0700) and removes the socket of a dead owner.
 *
 * @throws GreenroomError `BAD_OPTIONS` when the folder is open to others or a file that is no socket stands there,
 * `CONNECT_FAILED` when a live owner listens there
 */
export async function prepareSocketFile(path: string): Promise<void> {
  const folder = dirname(path)
  makeFolder(folder)
  const { mode } = statSync(folder)
  if ((mode & 0o077) !== 0)
    throw new GreenroomError('BAD_OPTIONS', `the folder of the socket must have mode 0700: ${folder}`)
  const old = lstatSync(path, { throwIfNoEntry: false })
  if (old === undefined) return
  if (!old.isSocket()) throw new GreenroomError('BAD_OPTIONS', `there is a file that is no socket: ${path}`)
  if (await isAnswered(path)) throw new GreenroomError('CONNECT_FAILED', `another process listens at ${path}`)
  rmSync(path, { force: true })
}
