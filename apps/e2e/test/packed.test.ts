/** The packages, packed and installed in an empty folder elsewhere: do they work for those who only have them? */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { inTerminal, run } from './packed/program.ts'
import { pasteReadme } from './packed/readme.ts'
import { publishedPackages, root, startRegistry, type Registry } from './packed/registry.ts'

const minutes = 60_000

/** What each package brings along of ours when it is installed alone: the arrows of the design, followed to their end. */
const closures: Record<string, readonly string[]> = {
  '@greenroom/proto': [],
  '@greenroom/store': [],
  '@greenroom/read-only-shell': [],
  '@greenroom/bus': ['proto'],
  '@greenroom/broker': ['proto', 'store'],
  '@greenroom/worker': ['bus', 'proto'],
  '@greenroom/runner': ['broker', 'bus', 'proto', 'read-only-shell', 'store'],
  greenroom: ['broker', 'bus', 'proto', 'read-only-shell', 'runner', 'store', 'worker'],
}

const tsconfig = {
  compilerOptions: {
    target: 'esnext',
    module: 'nodenext',
    lib: ['es2024', 'esnext.disposable'],
    types: ['node'],
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    allowImportingTsExtensions: true,
    exactOptionalPropertyTypes: true,
  },
}

let folder: string
let registry: Registry

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'greenroom-packed-'))
  await run('pnpm', ['exec', 'turbo', 'run', 'build', '--filter=./packages/*', '--output-logs=errors-only'], {
    cwd: root,
    env: { TURBO_TELEMETRY_DISABLED: '1' },
  })
  registry = await startRegistry(folder)
}, 5 * minutes)

afterAll(async () => {
  await registry[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

async function project(name: string): Promise<string> {
  const cwd = join(folder, name)
  await mkdir(cwd)
  await writeFile(join(cwd, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }))
  await writeFile(join(cwd, 'tsconfig.json'), JSON.stringify(tsconfig))
  return cwd
}

async function readmeWorks(cwd: string): Promise<void> {
  const { env } = registry
  expect(await pasteReadme(cwd)).toEqual(['release.ts', 'worker.ts', 'main.ts', 'agents.ts'])
  await run(join(cwd, 'node_modules', '.bin', 'tsc'), [], { cwd, env })
  const git = (...args: string[]): Promise<string> =>
    run('git', ['-c', 'user.name=reader', '-c', 'user.email=reader@example.com', ...args], { cwd, env })
  await git('init', '-q')
  await git('commit', '-q', '--allow-empty', '-m', 'first')
  const seen = await inTerminal(`'${process.execPath}' main.ts`, 'y', { cwd, env })
  const head = (await git('rev-parse', 'HEAD')).trim()
  expect(seen).toContain('tagging v1')
  expect(seen.trim().split(/\s+/).at(-1)).toBe(head)
  expect((await git('rev-parse', 'v1')).trim()).toBe(head)
}

/** A program that imports every entry of a package, and says whether there was something in each. */
const importAll = (name: string): string => `
  import { readFile } from 'node:fs/promises'
  const { exports } = JSON.parse(await readFile('node_modules/${name}/package.json', 'utf8'))
  const entries = Object.keys(exports).filter((entry) => !/json$|[*]/.test(entry))
  const found = await Promise.all(entries.map((entry) => import('${name}' + entry.slice(1))))
  console.log(found.length > 0 && found.every((entry) => Object.keys(entry).length > 0))
`

const readers = ['greenroom', 'zod', 'typescript@7', '@types/node@24']

describe("the README's program works from the packed packages", () => {
  it('installed by npm', { timeout: 5 * minutes }, async () => {
    const cwd = await project('by-npm')
    await run('npm', ['install', '--no-audit', '--no-fund', ...readers], { cwd, env: registry.env })
    await readmeWorks(cwd)
  })

  it('installed by pnpm with its defaults', { timeout: 5 * minutes }, async () => {
    const cwd = await project('by-pnpm')
    await run('pnpm', ['add', ...readers], { cwd, env: registry.env })
    await readmeWorks(cwd)
  })
})

describe('each package installed alone imports and pulls nothing above it', () => {
  it('covers every package', async () => {
    expect((await publishedPackages()).map(({ name }) => name).toSorted()).toEqual(Object.keys(closures).toSorted())
  })

  for (const [name, closure] of Object.entries(closures)) {
    it(name, { timeout: 2 * minutes }, async () => {
      const cwd = await project(`alone-${name.replace('@greenroom/', '')}`)
      await run('npm', ['install', '--no-audit', '--no-fund', name], { cwd, env: registry.env })
      const scoped = await readdir(join(cwd, 'node_modules', '@greenroom')).catch(() => [])
      expect(scoped.filter((found) => `@greenroom/${found}` !== name).toSorted()).toEqual(closure)
      const printed = await run(process.execPath, ['--input-type=module', '-e', importAll(name)], {
        cwd,
        env: registry.env,
      })
      expect(printed).toBe('true\n')
    })
  }
})
