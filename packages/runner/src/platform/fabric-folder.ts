/**
 * A fabric's folder: workers write a record each, runners of the same user on the same machine read them.
 *
 * ```text
 * ID.json      its record, 0600                 ID.sock   the socket of its endpoint
 * ID.json.new  the next one, being written      ID.data   what its endpoint keeps, if it is to be the same after a restart
 * ```
 *
 * - *D1* A record is replaced as a whole: whoever reads finds the last one or the next, never half of one.
 * - *D2* Whoever can read the folder can use its workers, by their tokens. So it is its owner's alone, or it is refused.
 * - *D3* What is not a plain file of this user's, closed to others, of 64 KiB at most and with a record of the file's name, is
 *   passed over, and it is said why.
 * - *D4* Only records are removed, known by their mark, when their lease has been over for as long as a lease holds (whoever
 *   slept meanwhile may write again) and nobody answers at their socket.
 */
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { fabricLease, GreenroomError, isId, parseFabricRecord, type FabricRecord } from '@greenroom/proto'
import { makeFolder } from '@greenroom/store'
import { isAnswered, longestPath } from './private-socket.ts'

/** What a look into the folder finds, by name. */
export interface FabricContent {
  /** The records, whether their lease is over or not. */
  readonly records: readonly FabricRecord[]
  /** What was passed over (D3). */
  readonly faults: readonly {
    /** Its name in the folder. */
    readonly file: string
    /** What is wrong with it, for people. */
    readonly reason: string
  }[]
}

/** A file that has the name of a record. */
interface Found {
  readonly file: string
  readonly id: string
  readonly record?: FabricRecord
  readonly reason?: string
  /** When its lease ends, in milliseconds since the Unix epoch, if it has the mark of a record (D4). */
  readonly endsAt?: number
}

const largestBytes = 65_536
const suffix = '.json'

/** See D1 to D4. */
export class FabricFolder {
  /** Absolute. */
  readonly path: string

  /**
   * Opens the folder; makes it when it is missing.
   *
   * @param path - where it is
   * @throws GreenroomError `BAD_OPTIONS` when it cannot be used, or others may (D2)
   */
  constructor(path: string) {
    this.path = resolve(path)
    try {
      makeFolder(this.path)
      // Under whichever name: a runner has one connection to each worker.
      this.path = realpathSync(this.path)
      const { uid, mode } = statSync(this.path)
      if (uid !== process.getuid?.()) throw bad(`${this.path} is another user's`)
      if ((mode & 0o077) !== 0) throw bad(`other users may reach ${this.path}: chmod 700 it`)
    } catch (cause) {
      if (cause instanceof GreenroomError) throw cause
      throw bad(`${this.path} cannot be used: ${reasonOf(cause)}`, cause)
    }
  }

  /**
   * Where a worker's endpoint listens.
   *
   * @param id - the worker's
   * @throws GreenroomError `BAD_OPTIONS` when the path is longer than that of a socket may be
   */
  socketOf(id: string): string {
    const path = this.#pathOf(id, '.sock')
    if (Buffer.byteLength(path) <= longestPath) return path
    throw bad(`${path} is longer than the path of a socket may be: choose a folder nearer to /`)
  }

  /** Where a worker's endpoint keeps what is to be there after a restart. */
  dataOf(id: string): string {
    return this.#pathOf(id, '.data')
  }

  /** All that is there. Whoever cannot look finds nobody, and a fault that says so. */
  read(): FabricContent {
    const found = this.#look()
    if (!Array.isArray(found)) return { records: [], faults: [found] }
    return {
      records: found.flatMap(({ record }) => record ?? []),
      faults: found.flatMap(({ file, reason }) => (reason === undefined ? [] : [{ file, reason }])),
    }
  }

  /**
   * Writes a worker's record, in place of its last one (D1).
   *
   * @throws what the file system says
   */
  publish(record: FabricRecord): void {
    const path = this.#pathOf(record.id, suffix)
    // Flushed before it is renamed: after a power cut there is no empty file of its name.
    writeFileSync(`${path}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600, flush: true })
    renameSync(`${path}.new`, path)
  }

  /**
   * Removes a worker's record; it need not be there.
   *
   * @throws what the file system says
   */
  withdraw(id: string): void {
    for (const end of [suffix, `${suffix}.new`]) rmSync(this.#pathOf(id, end), { force: true })
  }

  /**
   * Removes what workers left that are gone (D4), but for what an `ID.data` keeps for its next life.
   *
   * @param now - the time, in milliseconds since the Unix epoch
   * @returns whose records were removed
   */
  async collect(now: number): Promise<readonly string[]> {
    const found = this.#look()
    const removed: string[] = []
    const isOver = (endsAt = Infinity): boolean => endsAt + fabricLease.forMs <= now
    for (const { id, file, endsAt } of Array.isArray(found) ? found : []) {
      const socket = this.#pathOf(id, '.sock')
      if (!isOver(endsAt) || (await isAnswered(socket))) continue
      // Somebody of its name may be there again.
      if (!isOver(this.#find(file)?.endsAt)) continue
      this.withdraw(id)
      if (statSync(socket, { throwIfNoEntry: false })?.isSocket() === true) rmSync(socket, { force: true })
      removed.push(id)
    }
    return removed
  }

  /** Calls back when something in it may have changed. Where the system cannot watch it, it never does. */
  watch(onChange: () => void): Disposable {
    try {
      const watcher = watch(this.path, { persistent: false }, onChange)
      watcher.on('error', () => watcher.close())
      return { [Symbol.dispose]: () => watcher.close() }
    } catch {
      return { [Symbol.dispose]: () => undefined }
    }
  }

  #look(): Found[] | { readonly file: string; readonly reason: string } {
    try {
      return readdirSync(this.path)
        .toSorted()
        .flatMap((file) => (file.endsWith(suffix) ? (this.#find(file) ?? []) : []))
    } catch (error) {
      return { file: '.', reason: reasonOf(error) }
    }
  }

  /** Undefined when it is gone. */
  #find(file: string): Found | undefined {
    const id = file.slice(0, -suffix.length)
    let handle: number | undefined
    try {
      if (!isId(id)) throw bad('its name is no id')
      // Neither waits for whoever writes into a pipe nor follows a link.
      handle = openSync(join(this.path, file), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      const { mode, uid, size, mtimeMs } = fstatSync(handle)
      if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw bad('it is no plain file')
      if (uid !== process.getuid?.() || (mode & 0o077) !== 0) throw bad('other users may reach it')
      if (size > largestBytes) throw bad(`it has ${size} bytes, and a record ${largestBytes} at most`)
      return { file, id, ...judge(id, parse(readFileSync(handle, 'utf8')), mtimeMs) }
    } catch (error) {
      return isMissing(error) ? undefined : { file, id, reason: reasonOf(error) }
    } finally {
      if (handle !== undefined) closeSync(handle)
    }
  }

  #pathOf(id: string, end: string): string {
    const isValid: boolean = isId(id)
    if (!isValid) throw bad(`"${id}" is no id: letters, digits, ".", "_", "-"`)
    return join(this.path, `${id}${end}`)
  }
}

/** Without the parser's own words: they quote the file, which may hold a token. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw bad('it is not JSON')
  }
}

/** What a file's content is: a record, or what is wrong with it. */
function judge(id: string, content: unknown, writtenAt: number): Pick<Found, 'record' | 'reason' | 'endsAt'> {
  const isMarked =
    typeof content === 'object' && content !== null && 'fabric' in content && typeof content.fabric === 'number'
  const endsAt = isMarked ? { endsAt: writtenAt + fabricLease.forMs } : {}
  try {
    const record = parseFabricRecord(content)
    if (record.id === id) return { record, endsAt: record.expiresAt }
    return { reason: `it is the record of "${record.id}"`, ...endsAt }
  } catch (error) {
    return { reason: reasonOf(error), ...endsAt }
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function bad(what: string, cause?: unknown): GreenroomError {
  return new GreenroomError('BAD_OPTIONS', what, { cause })
}
