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

/** What there is, in bytes. */
interface Room {
  /** Free on the file system, for this user. */
  readonly free: number
  /** Pages of the database that deleted records left: the file never shrinks, but new records take them first. */
  readonly reusable: number
}

function measure(dir: string, reusableBytes: () => number): Room {
  try {
    return { free: freeBytesOf(dir), reusable: reusableBytes() }
  } catch {
    // The commit itself will say what is wrong with the file system.
    return { free: Infinity, reusable: 0 }
  }
}

/**
 * Tells, for each batch of so many bytes, whether there is less room than the reserve. What was deleted counts as room, so
 * that a full disk drains by acks; but the log needs some of the file system's own, a quarter of the reserve.
 *
 * Room is measured at most once a second or every 8 MiB.
 *
 * @param reusableBytes - of pages in the database that are free
 * @param freeBytes - asked for each batch, instead of measuring
 * @internal
 */
export function reserveCheck(
  dir: string,
  reserveBytes: number,
  reusableBytes: () => number,
  freeBytes?: () => number,
): (bytes: number) => boolean {
  if (freeBytes !== undefined) return () => freeBytes() < reserveBytes
  let measuredAt = -Infinity
  let room: Room = { free: 0, reusable: 0 }
  let queued = 0
  return (bytes) => {
    queued += bytes
    const now = performance.now()
    if (now - measuredAt > maxAgeMs || queued > maxBytes) {
      room = measure(dir, reusableBytes)
      measuredAt = now
      queued = bytes
    }
    const { free, reusable } = room
    return free + reusable - queued < reserveBytes || free < reserveBytes / 4
  }
}
