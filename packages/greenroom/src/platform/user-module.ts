/** Modules of the user's own. */
import { resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/**
 * Imports one.
 *
 * @param file - a path, or a `file:` URL
 * @returns its exports
 * @throws whatever it throws, and what keeps it from being found or parsed
 */
export async function importFile(file: string | URL): Promise<Readonly<Record<string, unknown>>> {
  const url = file instanceof URL ? file : pathToFileURL(resolve(file))
  const exports: unknown = await import(url.href)
  return typeof exports === 'object' && exports !== null ? Object.fromEntries(Object.entries(exports)) : {}
}

/**
 * Why one could not be imported, and where in the user's files: of what does not parse Node says that nowhere but in the stack.
 *
 * @param error - what {@link importFile} threw
 */
export function whyNotImported(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const place = /(?:^|\s|\()((?:file:\/\/)?\/[^\s():]+:\d+(?::\d+)?)/m.exec(error.stack ?? '')?.[1]
  if (place === undefined) return error.message
  const path = place.startsWith('file:') ? place.replace(/^file:\/\/[^:]+/, (url) => fileURLToPath(url)) : place
  return `${error.message} (${path})`
}
