/**
 * What `npm start`, `npm test` and `npm run bench` go through: makes a fresh clone ready, then runs the program.
 *
 * It needs nothing but git, npm and some Node ≥ 18, so it is plain JavaScript without dependencies. Each step leaves
 * a mark in `.tools/state.json` and is skipped while what it depends on is unchanged:
 *
 * 1. tools    the pinned Node and pnpm, from the npm registry, into `.tools/`
 * 2. install  `pnpm install --frozen-lockfile`
 * 3. build    `turbo run build` of the program and what it imports
 *
 * Progress goes to stderr; stdout belongs to the program. The programs' exit code and signals pass through.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const NODE = '24.21.0'
const PNPM = '12.21.0'

const root = fileURLToPath(new URL('..', import.meta.url))
const tools = join(root, '.tools')
const toolsBin = join(tools, 'node_modules', '.bin')
const pinnedNode = join(tools, 'node_modules', 'node', 'bin', 'node')
const stateFile = join(tools, 'state.json')
const logFile = join(tools, 'bootstrap.log')

/** The program a command runs and the workspace package to build for it; `setup` only prepares. */
const commands = {
  start: { program: 'apps/demo/dist/main.js', build: '@greenroom/demo' },
  bench: { program: 'apps/bench/dist/main.js', build: '@greenroom/bench' },
  simulate: { program: 'apps/simulator/dist/main.js', build: '@greenroom/simulator' },
  chaos: { program: 'apps/chaos/dist/main.js', build: '@greenroom/chaos' },
  test: { program: 'scripts/check.ts' },
  setup: {},
}

/** A failure that one line explains. */
class Stop extends Error {}

const say = (text) => process.stderr.write(`greenroom: ${text}\n`)

// --- State ------------------------------------------------------------------------------------------------

function readState() {
  try {
    return JSON.parse(readFileSync(stateFile, 'utf8'))
  } catch {
    return {}
  }
}

function mark(step, hash) {
  writeFileSync(stateFile, `${JSON.stringify({ ...readState(), [step]: hash }, null, 2)}\n`)
}

/** A digest of these files' paths and contents; a file that is missing counts as such. */
function digest(files) {
  const hash = createHash('sha256').update(`${NODE} ${PNPM}\n`)
  for (const file of [...files].sort()) {
    hash.update(`${relative(root, file)}\n`)
    hash.update(existsSync(file) ? readFileSync(file) : '-')
  }
  return hash.digest('hex')
}

function workspaceFolders() {
  const inside = (group) =>
    existsSync(join(root, group)) ? readdirSync(join(root, group)).map((name) => join(root, group, name)) : []
  return [...inside('packages'), ...inside('apps'), join(root, 'docs')].filter((folder) =>
    existsSync(join(folder, 'package.json')),
  )
}

function manifests() {
  return [root, ...workspaceFolders()].map((folder) => join(folder, 'package.json'))
}

function filesUnder(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? filesUnder(path) : [path]
  })
}

// --- Steps ------------------------------------------------------------------------------------------------

/** The environment of the steps: the pinned tools first, no telemetry, and a home even where there is none. */
function stepEnvironment() {
  const env = {
    ...programEnvironment(),
    TURBO_TELEMETRY_DISABLED: '1',
    TURBO_NO_UPDATE_NOTIFIER: '1',
    DO_NOT_TRACK: '1',
  }
  // pnpm does not read npm's variable: a registry chosen that way must hold for both.
  const registry = env.npm_config_registry ?? env.NPM_CONFIG_REGISTRY
  if (registry !== undefined) env.pnpm_config_registry ??= registry
  // By default pnpm tries for minutes before it says that there is no network.
  env.pnpm_config_fetch_retries ??= '1'
  env.pnpm_config_fetch_retry_mintimeout ??= '1000'
  env.pnpm_config_fetch_retry_maxtimeout ??= '2000'
  try {
    accessSync(process.env.HOME || homedir(), constants.W_OK)
  } catch {
    env.HOME = join(tools, 'home')
    mkdirSync(env.HOME, { recursive: true })
  }
  return env
}

function programEnvironment() {
  const binaries = [toolsBin, join(root, 'node_modules', '.bin'), process.env.PATH ?? '']
  return { ...process.env, PATH: binaries.join(delimiter) }
}

/** Runs one step with its output kept for a failure; `advice` completes the one line that a failure prints. */
function step(title, command, args, advice) {
  return new Promise((resolve, reject) => {
    const began = Date.now()
    const seconds = () => `${((Date.now() - began) / 1000).toFixed(1)} s`
    say(`${title} …`)
    const beat = setInterval(() => say(`${title} … ${seconds()}`), 15_000)
    const child = spawn(command, args, { cwd: root, env: stepEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (chunk) => (output += chunk)
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', (error) => {
      clearInterval(beat)
      reject(new Stop(`${title}: cannot run ${command} (${error.code ?? error.message})`))
    })
    child.on('close', (code) => {
      clearInterval(beat)
      if (code === 0) {
        say(`${title}: done in ${seconds()}`)
        return resolve()
      }
      writeFileSync(logFile, output)
      reject(new Stop(advice(output, code)))
    })
  })
}

const network =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_PNPM_META_FETCH_FAIL)\b|error sending request|dns error/

/** Why a download failed, in a few words. */
function reason(output) {
  if (network.test(output)) return 'the npm registry is not reachable: check the network or proxy'
  const code = /npm (?:error|ERR!) code (\w+)|\b(ERR_PNPM_\w+)\b/.exec(output)
  return code ? (code[1] ?? code[2]) : 'failed'
}

async function ensureTools() {
  const version = (name) => {
    try {
      return JSON.parse(readFileSync(join(tools, 'node_modules', name, 'package.json'), 'utf8')).version
    } catch {
      return undefined
    }
  }
  if (version('node') === NODE && version('pnpm') === PNPM && existsSync(pinnedNode)) return
  mkdirSync(tools, { recursive: true })
  const [npm, ...first] = npmCommand()
  const args = ['install', '--prefix', tools, '--no-audit', '--no-fund', '--loglevel=error', '--save-exact']
  await step(
    `getting Node ${NODE} and pnpm ${PNPM}`,
    npm,
    [...first, ...args, `node@${NODE}`, `pnpm@${PNPM}`],
    (output) => `could not get Node ${NODE} and pnpm ${PNPM}: ${reason(output)} (details: .tools/bootstrap.log)`,
  )
  if (spawnSync(pinnedNode, ['--version']).status !== 0) {
    throw new Stop(`Node ${NODE} does not run on this machine (${process.platform} ${process.arch})`)
  }
}

/** The npm that started us, or the one in PATH. */
function npmCommand() {
  const path = process.env.npm_execpath
  return path !== undefined && path.endsWith('npm-cli.js') ? [process.execPath, path] : ['npm']
}

async function ensureInstalled() {
  const hash = digest([...manifests(), join(root, 'pnpm-lock.yaml'), join(root, 'pnpm-workspace.yaml')])
  if (readState().install === hash && existsSync(join(root, 'node_modules', '.modules.yaml'))) return
  const args = ['install', '--frozen-lockfile', '--reporter=append-only']
  await step('installing dependencies', 'pnpm', args, (output) =>
    /ERR_PNPM_OUTDATED_LOCKFILE/.test(output)
      ? 'pnpm-lock.yaml does not match the package.json files: run `pnpm install` and commit it'
      : `could not install dependencies: ${reason(output)} (details: .tools/bootstrap.log)`,
  )
  mark('install', hash)
}

async function ensureBuilt(target, program) {
  const folders = closure(target)
  const sources = folders.flatMap((folder) => [
    ...filesUnder(join(folder, 'src')),
    join(folder, 'package.json'),
    join(folder, 'tsconfig.build.json'),
  ])
  const hash = digest([...sources, join(root, 'pnpm-lock.yaml'), join(root, 'tsconfig.base.json')])
  const name = `build ${target}`
  // Somebody may have removed a `dist`.
  const complete = existsSync(join(root, program)) && folders.every((folder) => existsSync(join(folder, 'dist')))
  if (readState()[name] === hash && complete) return
  const args = ['run', 'build', `--filter=${target}...`, '--output-logs=errors-only', '--ui=stream', '--no-color']
  await step(`building ${target}`, join(root, 'node_modules', '.bin', 'turbo'), args, (output) => {
    process.stderr.write(output)
    return `could not build ${target}: see above`
  })
  mark(name, hash)
}

/** The folders of a workspace package and of every workspace package it needs at run time. */
function closure(target) {
  const packages = new Map(
    workspaceFolders().map((folder) => {
      const { name, dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
      return [name, { folder, needs: Object.keys(dependencies) }]
    }),
  )
  const found = new Set([target])
  for (const name of found) {
    for (const other of packages.get(name)?.needs ?? []) if (packages.has(other)) found.add(other)
  }
  return [...found].flatMap((name) => packages.get(name)?.folder ?? [])
}

// --- The program ------------------------------------------------------------------------------------------

/** Runs the program in our place: signals go down, its exit code or signal comes back. */
function run(program, args) {
  const child = spawn(pinnedNode, [join(root, program), ...args], { env: programEnvironment(), stdio: 'inherit' })
  const pass = (signal) => {
    // A terminal sends Ctrl-C to the whole group: passed on, the program would see it twice and give up its grace.
    if (signal === 'SIGINT' && process.stdin.isTTY) return
    child.kill(signal)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, pass)
  child.on('error', (error) => {
    say(`cannot run ${program}: ${error.message}`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

async function main([name = '', ...args]) {
  if (process.platform === 'win32') throw new Stop('Windows is supported through WSL only')
  if (!Object.hasOwn(commands, name)) throw new Stop(`unknown command "${name}": ${Object.keys(commands).join(', ')}`)
  const { program, build } = commands[name]
  await ensureTools()
  await ensureInstalled()
  if (build !== undefined) await ensureBuilt(build, program)
  if (program !== undefined) run(program, args)
}

main(process.argv.slice(2)).catch((error) => {
  say(error instanceof Stop ? error.message : error.stack)
  process.exit(1)
})
