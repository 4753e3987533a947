/**
 * The data folder: who owns it, and what is in it.
 *
 * ```
 * store.db, store.db-wal, store.db-shm   the database
 * owner.lock                             an SQLite file that the owner holds locked; the kernel lets go of it at kill -9
 * store.db.restoring                     what a restore did not finish; nothing else counts then
 * store.db.new                           what a first start did not finish; the next one removes it
 * owner.json                             {pid, startedAt} of the owner, for people and for the second one's message
 * ```
 *
 * No code may open `store.db` or `owner.lock` other than through SQLite: POSIX drops all locks that a process holds on
 * a file when it closes any descriptor of that file.
 */
import { chmodSync, closeSync, existsSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StoreError } from '../error.ts'
import { createDatabase } from './database.ts'
import { makeFolder, syncDir } from './folder.ts'
import { isBusy, storeErrorOf } from './sqlite-error.ts'

/**
 * A data folder that this process owns.
 *
 * @internal
 */
export interface DataDir {
  /** Absolute. */
  readonly dir: string
  /** Absolute path of the database. The file is there. */
  readonly databasePath: string
  /** Lets the next owner in. Idempotent. */
  release(): void
}

/**
 * Makes an empty file that only its owner can read, or makes an existing file so; never opens an existing one.
 *
 * @internal
 */
export function makePrivateFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    chmodSync(path, 0o600)
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

function readOwner(dir: string): { pid: number; startedAt: string } | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(join(dir, 'owner.json'), 'utf8'))
    if (typeof value !== 'object' || value === null || !('pid' in value) || typeof value.pid !== 'number')
      return undefined
    const startedAt = 'startedAt' in value && typeof value.startedAt === 'string' ? value.startedAt : 'an unknown time'
    return { pid: value.pid, startedAt }
  } catch {
    return undefined
  }
}

/** SQLite's own words, that its file is locked, say no more. */
function inUse(dir: string): StoreError {
  const owner = readOwner(dir)
  if (owner === undefined) {
    return new StoreError('DATA_DIR_IN_USE', `${dir} belongs to another live process.`, { path: dir })
  }
  const { pid, startedAt } = owner
  const who = pid === process.pid ? 'this process' : isRunning(pid) ? 'it' : 'a process that is not visible from here'
  const text = `${dir} belongs to process ${pid} since ${startedAt} (${who} is live).`
  return new StoreError('DATA_DIR_IN_USE', text, { path: dir, ownerPid: pid })
}

/** How long somebody may look for an owner, in milliseconds. */
const lookMs = 50

function lock(dir: string): DatabaseSync {
  const path = join(dir, 'owner.lock')
  makePrivateFile(path)
  // Whoever looks for an owner reads it for a moment.
  const db = new DatabaseSync(path, { timeout: lookMs })
  try {
    // Nothing is ever written to it, so its journal is never needed: only the kernel's lock counts.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    return db
  } catch (error) {
    db.close()
    throw isBusy(error) ? inUse(dir) : storeErrorOf(error, 'Locking', path)
  }
}

function writeOwner(dir: string): void {
  const path = join(dir, 'owner.json')
  const owner = { pid: process.pid, startedAt: new Date().toISOString() }
  writeFileSync(`${path}.new`, `${JSON.stringify(owner)}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

/** A live process that owns a data folder, as far as its `owner.json` tells. */
export interface FolderOwner {
  /** Its process id; undefined when it cannot be read. */
  readonly pid: number | undefined
  /** Since when, in ISO 8601. */
  readonly startedAt: string | undefined
}

/**
 * Who owns a data folder now. It takes no more than a reader's lock, for a moment.
 *
 * @throws StoreError `IO_FAILED`
 * @internal
 */
export function probeOwner(dir: string): FolderOwner | undefined {
  const path = join(dir, 'owner.lock')
  if (!existsSync(path)) return undefined
  try {
    using db = new DatabaseSync(path, { readOnly: true, timeout: 0 })
    db.prepare('SELECT count(*) FROM sqlite_schema').get()
    return undefined
  } catch (error) {
    if (!isBusy(error)) throw storeErrorOf(error, 'Looking for an owner', path)
    const { pid, startedAt } = readOwner(dir) ?? {}
    return { pid, startedAt }
  }
}

/** What a restore writes, until it is whole. */
export const unfinishedRestore = 'store.db.restoring'

/**
 * Makes the folder if need be and becomes its owner.
 *
 * @returns what lets the next owner in; idempotent
 * @throws StoreError `DATA_DIR_IN_USE`, `IO_FAILED`
 * @internal
 */
export function ownFolder(dir: string): () => void {
  let held: DatabaseSync | undefined
  const release = (): void => {
    const lockHeld = held
    held = undefined
    if (lockHeld === undefined) return
    try {
      rmSync(join(dir, 'owner.json'), { force: true })
    } catch {
      // It only informs; the lock counts, and must be let go also on a broken file system.
    }
    lockHeld.close()
  }
  try {
    makeFolder(dir)
    held = lock(dir)
    writeOwner(dir)
    return release
  } catch (error) {
    release()
    throw storeErrorOf(error, 'Opening the data folder', dir)
  }
}

/**
 * What a start that was cut off may leave.
 *
 * @internal
 */
export const unfinished: readonly string[] = ['store.db.new', 'store.db.new-journal', 'owner.json.new']

/** All of it or none: so a file that is empty is one that somebody emptied. */
function makeDatabase(path: string): void {
  const fresh = `${path}.new`
  makePrivateFile(fresh)
  createDatabase(fresh)
  renameSync(fresh, path)
}

/**
 * Becomes the owner of a folder with a database, which is made if need be.
 *
 * @throws StoreError `DATA_DIR_IN_USE`, `IO_FAILED`, `STORE_DAMAGED` when a restore into it was cut off
 * @internal
 */
export function openDataDir(path: string): DataDir {
  const dir = resolve(path)
  const databasePath = join(dir, 'store.db')
  const release = ownFolder(dir)
  try {
    if (existsSync(join(dir, unfinishedRestore)))
      throw new StoreError('STORE_DAMAGED', `A restore into ${dir} was cut off: restore it again.`, { path: dir })
    for (const name of unfinished) rmSync(join(dir, name), { force: true })
    if (existsSync(databasePath)) makePrivateFile(databasePath)
    else makeDatabase(databasePath)
    syncDir(dir)
    return { dir, databasePath, release }
  } catch (error) {
    release()
    throw storeErrorOf(error, 'Opening the data folder', dir)
  }
}
