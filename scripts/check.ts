/**
 * What `npm test` runs: everything that must hold, in the order that fails fastest.
 *
 * Every check runs, whatever became of the ones before it. The last line is `N passed, N failed, N skipped`: one
 * for each check, and for `tests` one for each test. The exit code is 1 when anything failed.
 *
 * `npm test -- --only lint,tests` runs some, `-- --list` names them; what follows a second `--` goes to vitest.
 */
import { spawn } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Counts } from './count-reporter.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'greenroom-check-'))
const env = {
  ...process.env,
  PATH: [join(root, '.tools/node_modules/.bin'), join(root, 'node_modules/.bin'), process.env['PATH']].join(':'),
  TURBO_TELEMETRY_DISABLED: '1',
  TURBO_NO_UPDATE_NOTIFIER: '1',
  DO_NOT_TRACK: '1',
}

/** How a command ended. Its output is empty when it was shown as it came. */
interface Ended {
  readonly ok: boolean
  readonly output: string
}

type Show = 'live' | 'on failure'

interface CommandOptions {
  readonly cwd?: string
  readonly show?: Show
  readonly extraEnv?: NodeJS.ProcessEnv
  /** Kills it. */
  readonly signal?: AbortSignal
}

function command(words: readonly string[], options: CommandOptions = {}) {
  const { cwd = root, show = 'on failure', extraEnv = {}, signal } = options
  const { promise, resolve } = Promise.withResolvers<Ended>()
  const [program = '', ...args] = words
  const stdio = show === 'live' ? (['ignore', 'inherit', 'inherit'] as const) : (['ignore', 'pipe', 'pipe'] as const)
  const child = spawn(program, args, {
    cwd,
    env: { ...env, ...extraEnv },
    stdio: [...stdio],
    killSignal: 'SIGKILL',
    ...(signal && { signal }),
  })
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.on('error', (error) => resolve({ ok: false, output: `${program}: ${error.message}` }))
  child.on('close', (code) => resolve({ ok: code === 0, output }))
  return promise
}

/** Runs commands one after the other, up to the first that fails. */
async function inOrder(...commands: readonly (readonly string[])[]): Promise<Ended> {
  for (const words of commands) {
    const ended = await command(words)
    if (!ended.ok) return ended
  }
  return { ok: true, output: '' }
}

// --- The checks -------------------------------------------------------------------------------------------

interface Check {
  readonly name: string
  readonly run: () => Promise<Ended & { counts?: Counts }>
}

interface Published {
  readonly folder: string
  readonly name: string
}

function publishedPackages(): Published[] {
  return readdirSync(join(root, 'packages'))
    .map((folder) => join(root, 'packages', folder))
    .map((folder) => ({ folder, manifest: readFileSync(join(folder, 'package.json'), 'utf8') }))
    .map(({ folder, manifest }) => ({ folder, ...(JSON.parse(manifest) as { name: string; private?: boolean }) }))
    .filter((pkg) => pkg.private !== true)
}

/** Packs one package as a release would and looks at what its users get. */
async function packed({ folder, name }: Published): Promise<Ended> {
  const into = join(scratch, name.replace('/', '-'))
  const pack = await command(['pnpm', 'pack', '--pack-destination', into], { cwd: folder })
  const [tarball] = globSync('*.tgz', { cwd: into }).map((file) => join(into, file))
  if (!pack.ok || tarball === undefined) return { ok: false, output: pack.output }
  const format = ['--format', 'table-flipped', '--no-emoji', '--no-color']
  return inOrder(['publint', '--strict', tarball], ['attw', tarball, '--profile', 'esm-only', ...format])
}

const report = join(scratch, 'counts.json')

/** How long vitest may take to end once all tests are over, in milliseconds: it waits for whatever has its output. */
const endMs = 60_000

/** Aborts when vitest has not ended in time: some test left a process. */
function overdue(): AbortSignal & Disposable {
  const late = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const watch = setInterval(() => {
    if (existsSync(report)) timer ??= setTimeout(() => late.abort(), endMs)
  }, 1_000)
  const stop = (): void => {
    clearInterval(watch)
    clearTimeout(timer)
  }
  return Object.assign(late.signal, { [Symbol.dispose]: stop })
}

async function tests(args: readonly string[]): Promise<Ended & { counts: Counts }> {
  const reporters = ['--reporter=default', '--reporter=./scripts/count-reporter.ts']
  using signal = overdue()
  const ended = await command(['vitest', 'run', '--passWithNoTests', ...reporters, ...args], {
    show: 'live',
    extraEnv: { GREENROOM_COUNTS: report },
    signal,
  })
  const counts = readCounts(report)
  // vitest fails for reasons that are no test, too: that must not read as "0 failed".
  if (!ended.ok && counts.failed === 0) counts.failed = 1
  const output = signal.aborted ? 'a test left a process: vitest was ended, and says above whose' : ended.output
  return { ok: ended.ok && counts.failed === 0, output, counts }
}

function readCounts(file: string): Counts {
  try {
    const { passed, failed, skipped } = JSON.parse(readFileSync(file, 'utf8')) as Counts
    return { passed, failed, skipped }
  } catch {
    return { passed: 0, failed: 0, skipped: 0 }
  }
}

/** Whether the tests that docs/parity.md names ran and passed: to be asked after all of them. */
async function proofs(): Promise<Ended> {
  if (existsSync(report)) return command(['node', 'scripts/parity.ts', '--report', report])
  return { ok: false, output: 'no test has run: --only tests,proofs' }
}

const turbo = [
  'turbo',
  'run',
  '--continue=dependencies-successful',
  '--output-logs=errors-only',
  '--ui=stream',
  '--no-color',
]

function allChecks(vitestArgs: readonly string[]): Check[] {
  const check = (name: string, ...commands: string[][]): Check => ({ name, run: () => inOrder(...commands) })
  return [
    check('format', ['oxfmt', '--check']),
    check('lint', ['oxlint', '--deny-warnings']),
    check('names', ['node', 'scripts/names.ts']),
    check('parity', ['node', 'scripts/parity.ts']),
    check('types', [...turbo, 'typecheck'], ['tsc']),
    check('build', [...turbo, 'build']),
    check('unused', ['knip', '--no-progress']),
    ...publishedPackages().map((pkg) => ({ name: `package:${pkg.name}`, run: () => packed(pkg) })),
    check('examples', ['node', 'scripts/examples.ts']),
    check('docs', [...turbo, 'docs']),
    { name: 'tests', run: () => tests(vitestArgs) },
    // Who chooses among the tests is not told of those that were left out.
    ...(vitestArgs.length > 0 ? [] : [{ name: 'proofs', run: proofs }]),
  ]
}

// --- The run ----------------------------------------------------------------------------------------------

async function runChecks(checks: readonly Check[]): Promise<Counts> {
  const total: Counts = { passed: 0, failed: 0, skipped: 0 }
  for (const { name, run } of checks) {
    const began = performance.now()
    const { ok, output, counts } = await run()
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    if (!ok) console.log(output.trimEnd())
    console.log(`${ok ? 'ok  ' : 'FAIL'}  ${name}  ${seconds} s`)
    const { passed, failed, skipped } = counts ?? { passed: Number(ok), failed: Number(!ok), skipped: 0 }
    total.passed += passed
    total.failed += failed
    total.skipped += skipped
  }
  return total
}

function parse(argv: readonly string[]) {
  const cut = argv.indexOf('--')
  const own = cut < 0 ? argv : argv.slice(0, cut)
  const options = { only: { type: 'string', multiple: true }, list: { type: 'boolean' } } as const
  const { values } = parseArgs({ args: [...own], options })
  return {
    only: (values.only ?? []).flatMap((names) => names.split(',')),
    list: values.list === true,
    vitestArgs: cut < 0 ? [] : argv.slice(cut + 1),
  }
}

async function main(): Promise<number> {
  const { only, list, vitestArgs } = parse(process.argv.slice(2))
  const known = allChecks(vitestArgs)
  const isMeant = (check: Check, name: string): boolean => check.name === name || check.name.startsWith(`${name}:`)
  const unknown = only.filter((name) => !known.some((check) => isMeant(check, name)))
  if (list || unknown.length > 0) {
    if (unknown.length > 0) console.error(`no such check: ${unknown.join(', ')}`)
    console.log(known.map(({ name }) => name).join('\n'))
    return unknown.length > 0 ? 2 : 0
  }
  const chosen = only.length === 0 ? known : known.filter((check) => only.some((name) => isMeant(check, name)))
  const { passed, failed, skipped } = await runChecks(chosen)
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
  return failed > 0 ? 1 : 0
}

try {
  process.exitCode = await main()
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
