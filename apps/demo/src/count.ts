/** Counts one file, in chunks: memory does not depend on its size. */
import { constants, type Stats } from 'node:fs'
import { lstat, open, type FileHandle } from 'node:fs/promises'
import { LineScanner, type MarkedLine } from './line-scanner.ts'

/** What became of a file. */
export type Counted =
  | {
      readonly status: 'counted'
      readonly lines: number
      readonly bytes: number
      readonly markedCount: number
      readonly marked: readonly MarkedLine[]
    }
  /** It is there but cannot be read: its size counts, its lines are not known. */
  | { readonly status: 'unreadable'; readonly bytes: number }
  /** It is gone since it was listed, or no regular file any more: not counted. */
  | { readonly status: 'vanished' }

/** The codes with which opening says that there is no such regular file; the last two: a link, a socket. */
const GONE = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'])

/** A link or a pipe that took the file's place is neither followed nor waited for. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * Counts a file. Whatever may happen to a file is in the answer.
 *
 * @param path - where it is
 * @param buffer - for its chunks; whoever counts one file after the other hands in the same again
 * @param signal - stops the counting: rejects with its reason
 */
export async function countFile(path: Buffer, buffer: Buffer, signal?: AbortSignal): Promise<Counted> {
  signal?.throwIfAborted()
  try {
    await using file = await open(path, FLAGS)
    const stats = await file.stat()
    return stats.isFile() ? await scan(file, stats, buffer, signal) : { status: 'vanished' }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (signal?.aborted === true || typeof code !== 'string') throw error
    return GONE.has(code) ? { status: 'vanished' } : { status: 'unreadable', bytes: await sizeOf(path) }
  }
}

async function scan(file: FileHandle, stats: Stats, buffer: Buffer, signal?: AbortSignal): Promise<Counted> {
  const scanner = new LineScanner()
  for (;;) {
    signal?.throwIfAborted()
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null)
    if (bytesRead === 0) break
    scanner.push(buffer.subarray(0, bytesRead))
    if (scanner.binary) return { status: 'counted', lines: 0, bytes: stats.size, markedCount: 0, marked: [] }
  }
  scanner.end()
  const { lines, bytes, markedCount, marked } = scanner
  return { status: 'counted', lines, bytes, markedCount, marked }
}

async function sizeOf(path: Buffer): Promise<number> {
  try {
    return (await lstat(path)).size
  } catch {
    return 0
  }
}
