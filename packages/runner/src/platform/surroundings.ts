/** What the runner needs of the machine around it. */
import { makeFolder } from '@greenroom/store'
import { lstatSync, statSync } from 'node:fs'
import { hostname, platform, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Logger } from '../launcher.ts'

/** The operating system, as Node names it. */
export const platformName: string = platform()

/** This machine, for people. */
export const hostName: string = hostname()

/** The folder that relative paths start from. */
export function workingDirectory(): string {
  return process.cwd()
}

/** Whether a URL is that of a file, or of a link to one, that this process may look at. */
export function isFile(url: URL): boolean {
  try {
    return statSync(url).isFile()
  } catch {
    return false
  }
}

/** Whether a path is that of a folder, or of a link to one, that this process may look at. */
export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

/**
 * The environment of a worker: the allowed variables that are set here, and where Node may cache compiled code.
 *
 * @param names - the allowlist
 * @param dataDir - where the cache goes; in the system's folder for temporary files when null
 */
export function workerEnvironment(names: readonly string[], dataDir: string | null): Readonly<Record<string, string>> {
  const env: Record<string, string> = {}
  const cache = dataDir === null ? privateCache() : resolve(dataDir, 'compile-cache')
  if (cache !== undefined) env['NODE_COMPILE_CACHE'] = cache
  for (const name of names) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  return env
}

/** A folder for compiled code that nobody else can plant some in; undefined where there is none to be had. */
function privateCache(): string | undefined {
  const user = process.getuid?.()
  const path = join(tmpdir(), `greenroom-compile-cache-${user}`)
  try {
    makeFolder(path)
    const { uid, mode } = lstatSync(path)
    return uid === user && (mode & 0o170077) === 0o040000 ? path : undefined
  } catch {
    return undefined
  }
}

/** Keeps the program alive until it is disposed of: sockets, timers and workers of a runner do not. */
export function keepAlive(): Disposable {
  const handle = setInterval(() => undefined, 2 ** 30)
  return { [Symbol.dispose]: () => clearInterval(handle) }
}

/** Writes to standard error. */
export const standardErrorLogger: Logger = {
  warn(message, fields) {
    process.stderr.write(`greenroom: ${message}${fields === undefined ? '' : ` ${JSON.stringify(fields)}`}\n`)
  },
  output(source, line) {
    process.stderr.write(`[${source}] ${line}\n`)
  },
}
