/** The files that detached workers write to: what they say outlives the runner that started them. */
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { makeFolder } from '@greenroom/store'

/** How long one stays after it was written to last, in milliseconds: as long as a run's outcome waits at the broker. */
const keepMs = 7 * 86_400_000

const folderOf = (dataDir: string): string => resolve(dataDir, 'detached')

/**
 * The file of a worker; its folder is made.
 *
 * @param dataDir - the runner's
 * @param address - the worker's mailbox
 */
export function outputOf(dataDir: string, address: string): string {
  const folder = folderOf(dataDir)
  makeFolder(folder)
  return join(folder, `${address}.log`)
}

/**
 * Removes one that nobody needs any more.
 *
 * @param path - as {@link outputOf} said
 */
export function removeOutput(path: string): void {
  rmSync(path, { force: true })
}

/**
 * Removes those that are too old.
 *
 * @param dataDir - the runner's
 * @param now - in milliseconds since the epoch
 */
export function pruneOutputs(dataDir: string, now: number): void {
  const folder = folderOf(dataDir)
  let names: readonly string[]
  try {
    names = readdirSync(folder)
  } catch {
    // There never was one.
    return
  }
  for (const name of names) {
    const path = join(folder, name)
    const written = statSync(path, { throwIfNoEntry: false })
    if (written !== undefined && written.mtimeMs < now - keepMs) rmSync(path, { force: true })
  }
}
