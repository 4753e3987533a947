/** Modules of the user's own. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

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
