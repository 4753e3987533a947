/** This package's version. */
import { readFileSync } from 'node:fs'

/** Reads the version out of the package's manifest, which is as far from the sources as from what is built. */
export function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const isManifest = typeof manifest === 'object' && manifest !== null && 'version' in manifest
  return isManifest ? String(manifest.version) : 'unknown'
}
