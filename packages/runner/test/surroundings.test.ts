/** What the runner takes from the machine around it. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { workerEnvironment } from '../src/platform/surroundings.ts'
import { temporaryFolder } from './fixtures/setup.ts'

/** What a program of its own, with that folder for temporary files, makes of a worker's environment. */
function environmentAt(folder: string): { readonly signal: string | null; readonly env: unknown } {
  const file = new URL('../src/platform/surroundings.ts', import.meta.url)
  const program = `import(${JSON.stringify(file.href)}).then(({ workerEnvironment }) =>
    console.log(JSON.stringify(workerEnvironment([], null))))`
  const { stdout, signal } = spawnSync(process.execPath, ['--conditions=@greenroom/source', '--eval', program], {
    env: { ...process.env, TMPDIR: folder },
    timeout: 10_000,
    killSignal: 'SIGKILL',
    encoding: 'utf8',
  })
  return { signal, env: stdout === '' ? undefined : JSON.parse(stdout) }
}

test('without a data folder all that this user runs share one folder for compiled code', () => {
  using folder = temporaryFolder()
  const seen = [environmentAt(folder.path), environmentAt(folder.path)].map(({ env }) => env)
  const [shared = '', ...others] = readdirSync(folder.path).filter((name) => name.startsWith('greenroom'))
  expect(others).toEqual([])
  expect(seen).toEqual(Array.from({ length: 2 }, () => ({ NODE_COMPILE_CACHE: join(folder.path, shared) })))
})

test('with a data folder compiled code is in that, whoever starts; what is not allowed, or not set here, is not passed on', () => {
  using folder = temporaryFolder()
  for (const name of ['SURROUNDINGS_TEST', 'NODE_OPTIONS', 'NODE_PATH', 'SHELL', 'PATH']) vi.stubEnv(name, 'set')
  const cache = { NODE_COMPILE_CACHE: join(folder.path, 'compile-cache') }
  expect(workerEnvironment([], folder.path)).toEqual(cache)
  const names = ['SURROUNDINGS_TEST', 'SURROUNDINGS_TEST_NOT_SET']
  expect(workerEnvironment(names, folder.path)).toEqual({ ...cache, SURROUNDINGS_TEST: 'set' })
  vi.unstubAllEnvs()
})

test.runIf(existsSync('/proc/self'))(
  'a folder that cannot be made is done without, and does not hang the program',
  () => {
    // No folder can be made there, and the system says that the one above is missing.
    expect(environmentAt('/proc/no/such')).toEqual({ signal: null, env: {} })
  },
)
