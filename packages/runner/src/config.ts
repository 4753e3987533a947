/** The runner's options, checked once: behind this nothing is optional and nothing is checked again. */
import {
  GreenroomError,
  isName,
  limits,
  systemClock,
  systemRandom,
  type Bus,
  type Clock,
  type Posture,
  type Random,
} from '@greenroom/proto'
import type { ApprovalOptions } from './approval/index.ts'
import { checkAllowance, checkBridge, type ToolServer } from './bridge/index.ts'
import { checkBudget, type BudgetOptions } from './budget.ts'
import type { CommandEntry, WorkerEntry } from './entry.ts'
import type { Launcher, Logger } from './launcher.ts'
import { checkLimits, type LimitOptions } from './limits.ts'
import {
  bad,
  isObject,
  check,
  checkNames,
  isText,
  isFlag,
  isTexts,
  isMs,
  isCount,
  isSome,
  isVariables,
  isTextsByName,
  has,
} from './option-check.ts'
import type {
  AdmissionOptions,
  BusChoice,
  RoleOptions,
  RunnerOptions,
  SecretSource,
  WarmPoolOptions,
} from './options.ts'
import { entryLauncher, programLauncher } from './platform/process-launcher.ts'
import { isFile, platformName, standardErrorLogger } from './platform/surroundings.ts'
import { checkEndpoints, checkPlacement } from './place.ts'
import type { SendOptions } from './run.ts'
import type { SchedulerOptions } from './scheduler.ts'
import type { SessionStore } from './session-store.ts'

/** Checked options with every default. */
export interface Config {
  readonly launcher: Launcher
  readonly roles: ReadonlyMap<string, RoleOptions>
  /** Undefined: an embedded broker. */
  readonly bus: BusChoice | undefined
  readonly dataDir: string | null
  readonly openStore: RunnerOptions['openStore']
  readonly retentionMs: number | null
  readonly sessions: SessionStore | undefined
  readonly secrets: ReadonlyMap<string, SecretSource>
  readonly env: readonly string[]
  readonly admission: Required<AdmissionOptions>
  readonly pool: Required<WarmPoolOptions>
  readonly inspect: boolean
  readonly bridge: ReadonlyMap<string, ToolServer>
  readonly limits: LimitOptions
  readonly budget: BudgetOptions
  readonly cancelGraceMs: number
  readonly partitionGraceMs: number
  readonly logger: Logger
  readonly clock: Clock
  readonly random: Random
  readonly approvals: ApprovalOptions
}

const runnerOptions: Readonly<Record<keyof RunnerOptions, true>> = {
  worker: true,
  roles: true,
  bus: true,
  dataDir: true,
  openStore: true,
  retentionMs: true,
  sessions: true,
  secrets: true,
  bridge: true,
  env: true,
  admission: true,
  pool: true,
  inspect: true,
  limits: true,
  budget: true,
  cancelGraceMs: true,
  partitionGraceMs: true,
  quiet: true,
  logger: true,
  clock: true,
  random: true,
  approvals: true,
}
const roleOptions: Readonly<Record<keyof RoleOptions, true>> = {
  executor: true,
  placement: true,
  workspace: true,
  model: true,
  disabledTools: true,
  mcpServers: true,
  bridge: true,
  posture: true,
  secrets: true,
  env: true,
  limits: true,
  idempotent: true,
  retry: true,
  concurrency: true,
  priority: true,
  detached: true,
}
const postures: Readonly<Record<keyof Posture, true>> = {
  bypass: true,
  enforce: true,
  unattended: true,
  readOnly: true,
  nesting: true,
}
/** Whoever stands at a breakpoint is not gone. */
const dayMs = 86_400_000
const defaultEnv = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR']
/** Whether a choice of bus is a bus already, and not a place to connect to. */
export function isBus(choice: BusChoice): choice is Bus {
  return 'attach' in choice
}

/**
 * Checks what {@link createRunner} was given.
 *
 * @param options - anything, when the caller is not compiled
 * @param platform - the operating system, as Node names it. = this one
 * @throws GreenroomError `BAD_OPTIONS`, `UNSUPPORTED_PLATFORM`
 */
export function checkOptions(options: RunnerOptions, platform: string = platformName): Config {
  if (platform === 'win32') throw new GreenroomError('UNSUPPORTED_PLATFORM')
  if (!isObject(options)) throw bad('options', 'an object')
  checkNames('options', options, runnerOptions)
  const { dataDir = '.greenroom', env = defaultEnv, cancelGraceMs = 5_000, quiet = false, inspect = false } = options
  const {
    partitionGraceMs = inspect ? dayMs : limits.partitionGraceMs,
    clock = systemClock,
    random = systemRandom,
  } = options
  if (dataDir !== null) check('dataDir', dataDir, isText, 'a path, or null for none')
  const { retentionMs = null } = options
  if (retentionMs !== null) check('retentionMs', retentionMs, isMs, 'a number of milliseconds, or null for ever')
  check('openStore', options.openStore, (it) => typeof it === 'function', 'a function that opens a store')
  check('env', env, isVariables, 'a list of names of environment variables')
  checkLimits('limits', options.limits)
  checkBudget('budget', options.budget)
  check('cancelGraceMs', cancelGraceMs, isMs, 'a number of milliseconds')
  check('partitionGraceMs', partitionGraceMs, isMs, 'a number of milliseconds')
  check('inspect', inspect, isFlag, 'true or false')
  check('quiet', quiet, isFlag, 'true or false')
  check('sessions', options.sessions, (it) => has(it, 'get', 'describe', 'append', 'messages'), 'a session store')
  check('logger', options.logger, (it) => has(it, 'warn', 'output'), 'a logger')
  check('clock', clock, (it) => has(it, 'now', 'monotonic', 'timer'), 'a clock')
  check('random', random, (it) => has(it, 'fraction', 'id'), 'a source of chance')
  const secrets = checkSecrets(options.secrets ?? {})
  const bridge = checkBridge(options.bridge ?? {})
  const logger = options.logger ?? standardErrorLogger
  return {
    launcher: checkWorker(options),
    roles: checkRoles(options, secrets, bridge),
    bus: checkBus(options),
    dataDir,
    openStore: options.openStore,
    retentionMs,
    sessions: options.sessions,
    secrets,
    bridge,
    env,
    admission: checkAdmission(options.admission ?? {}),
    pool: checkPool(options.pool ?? {}, options.roles),
    inspect,
    approvals: checkApprovals(options.approvals ?? {}),
    limits: options.limits ?? {},
    budget: options.budget ?? {},
    cancelGraceMs,
    partitionGraceMs,
    logger: quiet ? { warn: (...words) => logger.warn(...words), output: () => undefined } : logger,
    clock,
    random,
  }
}

function checkApprovals(approvals: ApprovalOptions): ApprovalOptions {
  if (!isObject(approvals)) throw bad('approvals', 'an object')
  const known = { reviewer: true, onUnavailable: true, policy: true, person: true, deadlineMs: true }
  checkNames('approvals', approvals, known)
  const isFunction = (value: unknown): boolean => typeof value === 'function'
  check('approvals.reviewer', approvals.reviewer, isFunction, 'a function')
  check('approvals.policy', approvals.policy, isFunction, 'a function')
  check(
    'approvals.person',
    approvals.person,
    (it) => isFunction(it) || it === 'elsewhere',
    "a function, or 'elsewhere'",
  )
  check(
    'approvals.onUnavailable',
    approvals.onUnavailable,
    (it) => ['person', 'deny'].includes(it),
    "'person' or 'deny'",
  )
  const { deadlineMs = null } = approvals
  if (deadlineMs !== null) check('approvals.deadlineMs', deadlineMs, isMs, 'a number of milliseconds, or null for none')
  return approvals
}

function checkAdmission(admission: AdmissionOptions): Required<AdmissionOptions> {
  if (!isObject(admission)) throw bad('admission', 'an object')
  checkNames('admission', admission, { maxExecuting: true, maxProcesses: true, queue: true, maxDepth: true })
  const { maxExecuting = 8, maxProcesses = 32, queue = 128, maxDepth = limits.depth } = admission
  check('admission.maxProcesses', maxProcesses, isSome, 'a number of processes, at least 1')
  check('admission.maxExecuting', maxExecuting, isSome, 'a number of runs, at least 1')
  check('admission.queue', queue, isCount, 'a number of runs')
  check('admission.maxDepth', maxDepth, isCount, 'a number of generations')
  return { maxExecuting, maxProcesses, queue, maxDepth }
}

const poolOptions: Readonly<Record<keyof WarmPoolOptions, true>> = {
  maxIdle: true,
  maxIdlePerKey: true,
  idleMs: true,
  maxAgeMs: true,
  maxUses: true,
  prewarm: true,
}

function checkPool(pool: WarmPoolOptions, roles: RunnerOptions['roles']): Required<WarmPoolOptions> {
  if (!isObject(pool)) throw bad('pool', 'an object')
  checkNames('pool', pool, poolOptions)
  const { maxIdle = 16, maxIdlePerKey = 4, idleMs = 300_000, maxAgeMs = 3_600_000, maxUses = 100, prewarm = {} } = pool
  check('pool.maxIdle', maxIdle, isCount, 'a number of workers')
  check('pool.maxIdlePerKey', maxIdlePerKey, isCount, 'a number of workers')
  check('pool.idleMs', idleMs, isMs, 'a number of milliseconds')
  check('pool.maxAgeMs', maxAgeMs, isMs, 'a number of milliseconds')
  check('pool.maxUses', maxUses, isSome, 'a number of runs, at least 1')
  if (!isObject(prewarm)) throw bad('pool.prewarm', 'an object of numbers by role')
  checkNames('pool.prewarm', prewarm, roles)
  for (const [role, count] of Object.entries(prewarm)) {
    check(`pool.prewarm.${role}`, count, isCount, 'a number of workers')
    const { detached, placement = 'local' } = roles[role] ?? {}
    if (detached === true) throw bad(`pool.prewarm.${role}`, 'left out: its runs are detached')
    if (placement !== 'local') throw bad(`pool.prewarm.${role}`, 'left out: its workers are not started here')
  }
  return { maxIdle, maxIdlePerKey, idleMs, maxAgeMs, maxUses, prewarm }
}

/**
 * Checks what {@link Run.send} was given.
 *
 * @param text - anything, when the caller is not compiled
 * @param options - anything, when the caller is not compiled
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkSend(text: string, options: SendOptions): void {
  if (typeof text !== 'string') throw bad('text', 'a text')
  checkNames('options', options, { mode: true })
  check('options.mode', options.mode, (it) => it === 'now' || it === 'queue', "'now' or 'queue'")
}

/**
 * Checks what {@link Runner.drain} was given.
 *
 * @param options - anything, when the caller is not compiled
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkDrain(options: { readonly graceMs?: number }): void {
  checkNames('options', options, { graceMs: true })
  check('options.graceMs', options.graceMs, isMs, 'a number of milliseconds')
}

/**
 * Checks what {@link Runner.scheduler} was given.
 *
 * @param options - anything, when the caller is not compiled
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkScheduler(options: SchedulerOptions): void {
  if (!isObject(options)) throw bad('options', 'an object')
  checkNames('options', options, { parent: true, onCompletion: true, queue: true, heartbeatMs: true })
  check('parent', options.parent ?? null, isName, 'a name: letters, digits, ".", "_", "-"')
  check('onCompletion', options.onCompletion, (it) => typeof it === 'function', 'a function')
  check('queue', options.queue, isCount, 'a number of jobs')
  check('heartbeatMs', options.heartbeatMs, (it) => isMs(it) && it > 0, 'a number of milliseconds')
}

function checkSecrets(secrets: NonNullable<RunnerOptions['secrets']>): ReadonlyMap<string, SecretSource> {
  if (!isObject(secrets)) throw bad('secrets', 'an object')
  for (const [name, value] of Object.entries(secrets)) {
    check(
      `secrets.${name}`,
      value,
      (it) => typeof it === 'string' || typeof it === 'function',
      'a text or a function that gives one',
    )
  }
  return new Map(Object.entries(secrets))
}

function checkRoles(
  { roles, bus }: RunnerOptions,
  secrets: ReadonlyMap<string, SecretSource>,
  bridge: ReadonlyMap<string, ToolServer>,
): ReadonlyMap<string, RoleOptions> {
  if (!isObject(roles)) throw bad('roles', 'an object of roles by name')
  for (const [name, role] of Object.entries(roles)) {
    const isValid: boolean = isName(name)
    if (!isValid) throw bad(`roles: "${name}"`, 'a name: letters, digits, ".", "_", "-"')
    if (!isObject(role)) throw bad(`roles.${name}`, 'an object')
    checkRole(`roles.${name}`, role)
    checkPlacement(`roles.${name}`, role, bus !== undefined)
    checkAllowance(`roles.${name}.bridge`, role.bridge, bridge)
    const missing = role.secrets?.find((secret) => !secrets.has(secret))
    if (missing !== undefined)
      throw bad(
        `roles.${name}.secrets: "${missing}"`,
        `one of the runner's secrets: add it to createRunner({ secrets })`,
      )
  }
  checkConcurrency(roles)
  checkEndpoints(roles)
  return new Map(Object.entries(roles))
}

/** Two limits for one key would let the larger one starve whoever has the smaller. */
function checkConcurrency(roles: RunnerOptions['roles']): void {
  const limitOf = new Map<string, number>()
  for (const [name, { concurrency }] of Object.entries(roles)) {
    if (concurrency === undefined) continue
    const { key = name, limit } = concurrency
    const known = limitOf.get(key)
    if (known !== undefined && known !== limit)
      throw bad(`roles.${name}.concurrency.limit`, `${known}, as for the other roles with the key "${key}"`)
    limitOf.set(key, limit)
  }
}

function checkRole(field: string, role: RoleOptions): void {
  checkNames(field, role, roleOptions)
  if (!isText(role.executor)) throw bad(`${field}.executor`, 'the name of an executor')
  check(`${field}.workspace`, role.workspace, isText, 'a path')
  check(`${field}.model`, role.model, isText, 'a name')
  check(`${field}.disabledTools`, role.disabledTools, isTexts, 'a list of names')
  check(`${field}.secrets`, role.secrets, isTexts, 'a list of names')
  check(`${field}.env`, role.env, isVariables, 'a list of names of environment variables')
  checkServers(`${field}.mcpServers`, role.mcpServers)
  check(`${field}.posture`, role.posture, (it) => isObject(it) && Object.values(it).every(isFlag), 'an object of flags')
  checkNames(`${field}.posture`, role.posture ?? {}, postures)
  checkLimits(`${field}.limits`, role.limits)
  check(`${field}.idempotent`, role.idempotent, isFlag, 'true or false')
  check(`${field}.priority`, role.priority, Number.isFinite, 'a number')
  check(`${field}.detached`, role.detached, isFlag, 'true or false')
  check(`${field}.retry`, role.retry, isObject, 'an object')
  checkNames(`${field}.retry`, role.retry ?? {}, { attempts: true, backoffMs: true, maxBackoffMs: true })
  check(`${field}.retry.attempts`, role.retry?.attempts, isSome, 'a number of attempts, at least 1')
  check(`${field}.retry.backoffMs`, role.retry?.backoffMs, isMs, 'a number of milliseconds')
  check(`${field}.retry.maxBackoffMs`, role.retry?.maxBackoffMs, isMs, 'a number of milliseconds')
  check(`${field}.concurrency`, role.concurrency, isObject, 'an object')
  checkNames(`${field}.concurrency`, role.concurrency ?? {}, { key: true, limit: true })
  check(`${field}.concurrency.key`, role.concurrency?.key, isText, 'a text')
  if (role.concurrency !== undefined && !isSome(role.concurrency.limit))
    throw bad(`${field}.concurrency.limit`, 'a number of runs, at least 1')
}

/** A misspelt `haeders` would be a request without them. */
function checkServers(field: string, servers: RoleOptions['mcpServers']): void {
  const isServer = (it: unknown): boolean => isObject(it) && isText(Reflect.get(it, 'name'))
  check(field, servers, (it) => Array.isArray(it) && it.every(isServer), 'a list of servers, each with a name')
  for (const [index, server] of (servers ?? []).entries()) {
    const at = `${field}.${index}`
    checkNames(at, server, { name: true, command: true, args: true, url: true, env: true, headers: true })
    check(`${at}.command`, server.command, isText, 'a program')
    check(
      `${at}.args`,
      server.args,
      (it) => Array.isArray(it) && it.every((arg) => typeof arg === 'string'),
      'a list of texts',
    )
    check(`${at}.url`, server.url, isText, 'a URL')
    for (const name of ['env', 'headers'] as const)
      check(`${at}.${name}`, server[name], isTextsByName, 'an object of texts')
  }
}

function isLauncher(worker: RunnerOptions['worker']): worker is Launcher {
  return has(worker, 'launch')
}

function isCommand(worker: NonNullable<RunnerOptions['worker']>): worker is CommandEntry {
  return 'command' in worker
}

function isEntry(worker: NonNullable<RunnerOptions['worker']>): worker is WorkerEntry {
  return 'url' in worker && worker.url instanceof URL
}

/** Of a runner all of whose roles are elsewhere: nothing ever asks it. */
const noLauncher: Launcher = {
  launch() {
    throw new GreenroomError('BAD_OPTIONS', 'worker must be given: it starts what a local role needs')
  },
}

function checkWorker({ worker, inspect, roles }: RunnerOptions): Launcher {
  const isLocal = ({ placement = 'local' }: RoleOptions): boolean => placement === 'local'
  if (worker === undefined && isObject(roles) && !Object.values(roles).some(isLocal)) return noLauncher
  if (!isObject(worker))
    throw bad('worker', "a file as new URL('./worker.ts', import.meta.url), { command: […] }, or a launcher")
  if (isLauncher(worker)) return worker
  if (isCommand(worker)) {
    checkNames('worker', worker, { command: true, cwd: true })
    if (!isTexts(worker.command) || worker.command.length === 0)
      throw bad('worker.command', 'a program and its arguments')
    check('worker.cwd', worker.cwd, isText, 'a path')
    return programLauncher(worker)
  }
  const url = worker instanceof URL ? worker : isEntry(worker) ? worker.url : undefined
  if (url?.protocol !== 'file:') throw bad('worker', 'a file: URL, a command or a launcher')
  if (!isFile(url)) throw bad('worker', `a file that is there: ${url.href} is none`)
  return entryLauncher(url, { inspect: inspect === true })
}

function checkBus({ bus, worker }: RunnerOptions): BusChoice | undefined {
  if (bus === undefined) return undefined
  if (!isObject(bus)) throw bad('bus', 'a bus, or { url, token }')
  if (isBus(bus)) {
    if (worker !== undefined && !isLauncher(worker))
      throw bad('bus', '{ url, token } unless worker is a launcher of your own: a process cannot reach an object')
    return bus
  }
  checkNames('bus', bus, { url: true, token: true, ca: true, insecure: true })
  check(
    'bus.url',
    bus.url ?? null,
    (it) => typeof it === 'string' && /^(wss?|ws\+unix):/.test(it),
    'a ws, wss or ws+unix URL',
  )
  check(
    'bus.token',
    bus.token ?? null,
    (it) => isText(it) || typeof it === 'function',
    'a token, or a function that gives one',
  )
  check('bus.ca', bus.ca, isText, 'a certificate as PEM')
  check('bus.insecure', bus.insecure, isFlag, 'true or false')
  return bus
}
