/** Digests of programs: what a worker would load now. */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** `from './x'`, `import './x'`, `import('./x')`, `require('./x')`: one too many does no harm. */
const localImport = /\b(?:from|import|require)\s*\(?\s*['"](\.{1,2}\/[^'"\n]+)['"]/g
const extensions = ['', '.js', '.ts', '.mjs', '.cjs', '.mts', '.cts', '.json', '/index.js', '/index.ts']

interface Known {
  readonly stamp: string
  readonly digest: string
  readonly imports: readonly string[]
}

/** Files by path: read again only when they changed. */
const known = new Map<string, Known>()

/**
 * A digest over files and all the local files that they import, directly or not. Packages are not looked into.
 *
 * @param files - absolute paths; those that are no files are left out
 */
export function bundleDigest(files: readonly string[]): string {
  const digests = new Map<string, string>()
  const waiting = [...files]
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const found = digests.has(path) ? undefined : lookAt(path)
    if (found === undefined) continue
    digests.set(path, found.digest)
    waiting.push(...found.imports)
  }
  const lines = [...digests].toSorted(([one], [other]) => (one < other ? -1 : 1))
  return createHash('sha256').update(JSON.stringify(lines)).digest('hex')
}

function lookAt(path: string): Known | undefined {
  const stats = statSync(path, { throwIfNoEntry: false, bigint: true })
  if (stats?.isFile() !== true) return undefined
  const stamp = `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`
  const before = known.get(path)
  if (before?.stamp === stamp) return before
  const content = readFileSync(path)
  const digest = createHash('sha256').update(content).digest('hex')
  const specifiers = [...content.toString('utf8').matchAll(localImport)].flatMap(([, specifier]) => specifier ?? [])
  const imports = specifiers.flatMap((specifier) => pathOf(resolve(dirname(path), specifier)))
  const found = { stamp, digest, imports }
  known.set(path, found)
  return found
}

function pathOf(path: string): string[] {
  const found = extensions.map((extension) => path + extension).find((file) => isFile(file))
  return found === undefined ? [] : [found]
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}
