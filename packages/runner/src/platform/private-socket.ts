/**
 * A socket of a program's own, as that of a runner's embedded broker: in a folder of its own that only this user can enter.
 *
 * It lies where the system keeps temporary files: in the data folder its path may be longer than a socket's may be, and
 * not every file system has sockets.
 *
 * - *S1* The folder goes with its owner. One that is killed cannot see to that, so the data folder names the socket's
 *   folder, and the data folder's next owner removes it.
 * - *S2* It is removed only when nobody answers there: a copy of a data folder names the folder of a live owner.
 * - *S3* Where nothing is kept (no data folder, a full disk) nobody is told: then it is left to the system.
 */
import { chmodSync, lstatSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'

/** A place for a socket. */
export interface PrivateSocket {
  /** Of the socket that is to be. */
  readonly path: string
  /** Removes the folder. Happens by itself when the program leaves without. */
  readonly remove: () => void
}

/** Longer paths cannot name a socket on macOS (104) or Linux (108). */
export const longestPath = 100

/** What a folder's name begins with; the system adds six letters. */
const prefix = 'greenroom-'

/** What is behind a socket: also its name in its folder. */
export type SocketName = 'bus' | 'approvals' | 'door'

/**
 * Makes the folder, and removes that of an earlier owner of the same data folder who was killed.
 *
 * @param dataDir - whose owner this process is; null for none
 * @param name - what is behind it
 */
export async function privateSocket(dataDir: string | null, name: SocketName): Promise<PrivateSocket> {
  const record = dataDir === null ? undefined : recordOf(dataDir, name)
  if (record !== undefined) await removeStale(record, name)
  const here = join(tmpdir(), prefix)
  const isShort = here.length + `XXXXXX/${name}`.length <= longestPath
  const folder = mkdtempSync(isShort ? here : `/tmp/${prefix}`)
  chmodSync(folder, 0o700)
  const remove = (): void => {
    process.off('exit', remove)
    rmSync(folder, { recursive: true, force: true })
    if (record !== undefined) rmSync(record, { force: true })
  }
  process.once('exit', remove)
  if (record !== undefined) note(record, folder)
  return { path: join(folder, name), remove }
}

/**
 * Where the owner of a data folder has its socket. One that was killed may have left it behind: then nobody answers there.
 *
 * @param dataDir - the folder
 * @param name - what is behind it
 * @returns undefined when there is none
 */
export function findSocket(dataDir: string, name: SocketName): string | undefined {
  try {
    const folder = readFileSync(recordOf(dataDir, name), 'utf8')
    return isOurs(folder) ? join(folder, name) : undefined
  } catch {
    return undefined
  }
}

function recordOf(dataDir: string, name: SocketName): string {
  return resolve(dataDir, `${name}-folder`)
}

function note(record: string, folder: string): void {
  try {
    writeFileSync(record, folder, { mode: 0o600 })
  } catch {
    // S3.
  }
}

async function removeStale(record: string, name: SocketName): Promise<void> {
  try {
    const folder = readFileSync(record, 'utf8')
    if (!isOurs(folder) || (await isAnswered(join(folder, name)))) return
    rmSync(join(folder, name), { force: true })
    rmdirSync(folder)
  } catch {
    // No record, or the folder is gone already, or holds what is not ours.
  }
}

/** Whatever a file says, only what this module makes is removed. */
function isOurs(folder: string): boolean {
  const { uid, mode } = lstatSync(folder)
  return (
    new RegExp(`^${prefix}\\w{6}$`).test(basename(folder)) &&
    uid === process.getuid?.() &&
    (mode & 0o170777) === 0o040700
  )
}

/**
 * Whether somebody listens at a socket.
 *
 * @param path - where it is, or is not
 */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      answer(true)
    })
    // Any other error comes from a live owner, who is busy for example.
    socket.once('error', (error) => answer(!('code' in error && /^(?:ECONNREFUSED|ENOENT)$/.test(String(error.code)))))
  })
}
