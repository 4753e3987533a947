/** What another process appends to a file, as a stream. */
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { systemClock } from '@greenroom/proto'

/** How often a file that is at its end is looked at, in milliseconds. */
const lookMs = 200
const chunkBytes = 64 * 1024

/**
 * Reads a file from its beginning, and what is appended to it.
 *
 * @param path - the file; one that is not there is empty
 * @param over - resolves when nothing is appended any more: the stream ends after what is there then
 */
export function tailOf(path: string, over: Promise<unknown>): Readable {
  return Readable.from(chunksOf(path, over), { objectMode: false })
}

async function* chunksOf(path: string, over: Promise<unknown>): AsyncGenerator<Uint8Array> {
  let isOver = false
  const ended = over.then(() => (isOver = true))
  // Where there is nothing to read nobody waits for a disk.
  if (!existsSync(path)) return
  const file = await open(path).catch(() => undefined)
  if (file === undefined) return
  try {
    for (;;) {
      const wasOver = isOver
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(chunkBytes))
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead)
      else if (wasOver) return
      else await Promise.race([ended, pause()])
    }
  } finally {
    await file.close()
  }
}

/** Does not keep the program alive. */
function pause(): Promise<void> {
  return new Promise((resolve) => void systemClock.timer(lookMs, resolve, { background: true }))
}
