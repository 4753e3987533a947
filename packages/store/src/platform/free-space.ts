/** Whether the file system has room beyond the reserve. */
import { statfsSync } from 'node:fs'

/** Below it, what brings something new is refused. */
export const defaultReserveBytes = 64 * 1024 * 1024

/** A measurement is used for so long, or until so many bytes were queued after it. */
const maxAgeMs = 1_000
const maxBytes = 8 * 1024 * 1024

/**
 * Free bytes for this user on the file system of a folder.
 *
 * @throws what the file system says
 * @internal
 */
export function freeBytesOf(dir: string): number {
  const { bavail, bsize } = statfsSync(dir)
  return bavail * bsize
}

/** Free bytes, measured at most once a second or every 8 MiB. */
function measuredFree(dir: string): (bytes: number) => number {
  let measuredAt = -Infinity
  let free = 0
  let queued = 0
  return (bytes) => {
    queued += bytes
    const now = performance.now()
    if (now - measuredAt > maxAgeMs || queued > maxBytes) {
      try {
        free = freeBytesOf(dir)
      } catch {
        // The commit itself will say what is wrong with the file system.
        free = Infinity
      }
      measuredAt = now
      queued = bytes
    }
    return free - queued
  }
}

/**
 * Tells, for each batch of so many bytes, whether free space is below the reserve.
 *
 * @param freeBytes - asked for each batch, instead of measuring
 * @internal
 */
export function reserveCheck(dir: string, reserveBytes: number, freeBytes?: () => number): (bytes: number) => boolean {
  const free = freeBytes ?? measuredFree(dir)
  return (bytes) => free(bytes) < reserveBytes
}
