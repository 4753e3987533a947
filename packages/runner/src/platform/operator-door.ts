/**
 * The operators' door of an embedded broker: a file in the runner's data folder says where it listens and what an operator
 * shows there. Whoever may read that folder holds all of it already.
 */
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

/** Where an operator finds the broker of a running runner. */
export interface OperatorDoor {
  /** Of its private socket. */
  readonly url: string
  /** What an operator shows. */
  readonly token: string
}

const pathIn = (dataDir: string): string => resolve(dataDir, 'operator.json')

/**
 * Opens the door, as far as the disk lets it: a runner works without.
 *
 * @param dataDir - the runner's
 * @param door - what to say there
 * @returns closes it again
 */
export function openOperatorDoor(dataDir: string, door: OperatorDoor): () => void {
  const path = pathIn(dataDir)
  try {
    // One that a killed owner left may have been opened to others since.
    rmSync(path, { force: true })
    writeFileSync(path, JSON.stringify(door), { mode: 0o600, flag: 'wx' })
    chmodSync(path, 0o600)
  } catch {
    // A full disk, for example.
  }
  return () => rmSync(path, { force: true })
}

/**
 * Finds the door of the runner that has a data folder. One that was killed may have left it behind: then nobody answers there.
 *
 * @param dataDir - the folder
 * @returns undefined when there is none, as with a bus of the runner's choice
 *
 * @example
 * ```ts
 * import { connectOperator } from '@greenroom/bus'
 * import { findOperatorDoor } from '@greenroom/runner'
 *
 * const door = findOperatorDoor('.greenroom')
 * if (door !== undefined) {
 *   await using operator = await connectOperator(door)
 *   console.log(await operator.mailboxes())
 * }
 * ```
 */
export function findOperatorDoor(dataDir: string): OperatorDoor | undefined {
  try {
    const door: unknown = JSON.parse(readFileSync(pathIn(dataDir), 'utf8'))
    return isDoor(door) ? { url: door.url, token: door.token } : undefined
  } catch {
    return undefined
  }
}

function isDoor(value: unknown): value is OperatorDoor {
  const isText = (name: string): boolean =>
    typeof value === 'object' && value !== null && typeof Reflect.get(value, name) === 'string'
  return isText('url') && isText('token')
}
