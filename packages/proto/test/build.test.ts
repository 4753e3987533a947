import { execFileSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const out = mkdtempSync(join(tmpdir(), 'greenroom-proto-build-'))

beforeAll(() => {
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json', '--outDir', out], { cwd: root })
}, 60_000)
afterAll(() => {
  rmSync(out, { recursive: true, force: true })
})

/** A source without its comments. */
const code = (path: string): string => readFileSync(path, 'utf8').replace(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, '')

/** What a file imports, exports from or imports lazily. */
function importsOf(path: string): string[] {
  return [...code(path).matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)['"]([^'"]+)['"]/g)].map((match) => match[1] ?? '')
}

/** A file and everything that it leads to by relative paths. */
function closure(path: string, seen = new Set<string>()): Set<string> {
  if (seen.has(path)) return seen
  seen.add(path)
  for (const name of importsOf(path).filter((each) => each.startsWith('.')))
    closure(join(dirname(path), path.endsWith('.d.ts') ? name.replace(/\.(js|ts)$/, '.d.ts') : name), seen)
  return seen
}

describe('the built package', () => {
  test('imports nothing but itself and zod: it runs where Node is not', () => {
    const files = globSync('**/*.js', { cwd: out }).map((file) => join(out, file))
    expect(files.length).toBeGreaterThan(20)
    const foreign = files.flatMap(importsOf).filter((name) => !name.startsWith('.') && name !== 'zod')
    expect(foreign).toEqual([])
    const node = files.filter((file) =>
      /\b(?:Buffer|process)\.|\b(?:require|setImmediate)\(|\b__dirname\b/.test(code(file)),
    )
    expect(node).toEqual([])
  })

  test('shows no zod type at its main entry, so its users are not tied to our version', () => {
    const files = [...closure(join(out, 'index.d.ts'))]
    expect(files.length).toBeGreaterThan(15)
    expect(files.filter((file) => /['"]zod['"]|\bZod|\bz\./.test(readFileSync(file, 'utf8')))).toEqual([])
  })

  test('shows its zod schemas at the entry that is for them', () => {
    const files = [...closure(join(out, 'schemas/index.d.ts'))]
    expect(files.some((file) => importsOf(file).includes('zod'))).toBe(true)
  })
})
