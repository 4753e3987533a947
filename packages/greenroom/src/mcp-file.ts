/** The file that `greenroom mcp` is given. */
import { GreenroomError } from '@greenroom/proto'
import type { RunnerOptions } from '@greenroom/runner'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { checkRoles, type DelegateRole, type DelegateRoles } from './delegate-role.ts'
import { importFile, whyNotImported } from './platform/user-module.ts'

/**
 * What the file of `greenroom mcp` exports as its default: a runner, and which of its roles the parent may start.
 *
 * @example
 * ```ts
 * import type { Delegation } from 'greenroom'
 *
 * export default {
 *   runner: {
 *     worker: new URL('./worker.ts', import.meta.url),
 *     roles: { reviewer: { executor: 'review' }, critic: { executor: 'criticise' } },
 *   },
 *   delegates: { reviewer: { description: 'Reviews a change; give it the diff as task' } },
 * } satisfies Delegation
 * ```
 */
export interface Delegation {
  /** As for `createRunner`. What is asked for by `approvals.person` cannot be asked in this terminal: see `elsewhere`. */
  readonly runner: RunnerOptions
  /**
   * The roles that the parent may start; others serve as children of these. Where one names no `input`, that is the one that its
   * executor declares in the worker's file (its export `executors`).
   */
  readonly delegates: DelegateRoles
}

/**
 * Reads the file, and from the worker's file what its executors take.
 *
 * @param path - the file
 * @param warn - is told why the executors' schemas are not known
 * @throws GreenroomError `BAD_OPTIONS` naming the file, and what is wrong with it
 */
export async function readDelegation(path: string, warn: (text: string) => void): Promise<Delegation> {
  const { default: found } = await importFile(path).catch((cause: unknown) => {
    throw new GreenroomError('BAD_OPTIONS', `cannot import ${path}: ${whyNotImported(cause)}`, { cause })
  })
  if (!isDelegation(found))
    throw new GreenroomError(
      'BAD_OPTIONS',
      `${path} must have a default export { runner, delegates }: options of createRunner, and the roles that may be started`,
    )
  const { runner, delegates } = found
  checkRoles(`${path}: delegates`, delegates)
  for (const name of Object.keys(delegates))
    if (!Object.hasOwn(runner.roles, name))
      throw new GreenroomError(
        'BAD_OPTIONS',
        `${path}: delegates.${name} is none of the runner's roles: ${Object.keys(runner.roles).join(', ')}`,
      )
  const isComplete = Object.values(delegates).every((role) => role.input !== undefined)
  const executors = isComplete ? undefined : await executorsOf(runner, warn)
  if (executors === undefined) return found
  const described = Object.entries(delegates).map(([name, role]): [string, DelegateRole] => {
    const { executor: wanted = '', placement = 'local' } = runner.roles[name] ?? {}
    const executor: unknown = Object.hasOwn(executors, wanted) ? Reflect.get(executors, wanted) : undefined
    if (executor === undefined && placement === 'local')
      throw new GreenroomError(
        'BAD_OPTIONS',
        `${path}: runner.roles.${name}.executor: the worker's file exports no executor "${wanted}"; there are: ${Object.keys(executors).join(', ')}`,
      )
    const declared: unknown = isObject(executor) ? Reflect.get(executor, 'input') : undefined
    const input = role.input ?? (isSchema(declared) ? declared : undefined)
    return [name, input === undefined ? role : { ...role, input }]
  })
  return { runner, delegates: Object.fromEntries(described) }
}

/** What the worker's file exports; undefined when nobody can tell. It serves only when it is spawned. */
async function executorsOf({ worker }: RunnerOptions, warn: (text: string) => void): Promise<object | undefined> {
  const url: unknown = worker instanceof URL ? worker : isObject(worker) ? Reflect.get(worker, 'url') : undefined
  if (!(url instanceof URL)) return undefined
  try {
    const { executors } = await importFile(url)
    return isObject(executors) ? executors : undefined
  } catch (error) {
    warn(`what the executors take is not known: cannot import ${url.href}: ${whyNotImported(error)}`)
    return undefined
  }
}

/** What is in its two members `createRunner` and `delegateTools` check. */
function isDelegation(value: unknown): value is Delegation {
  if (!isObject(value)) return false
  const runner: unknown = Reflect.get(value, 'runner')
  const delegates: unknown = Reflect.get(value, 'delegates')
  return isObject(runner) && isObject(Reflect.get(runner, 'roles')) && isObject(delegates)
}

function isSchema(value: unknown): value is StandardSchemaV1 {
  return (typeof value === 'object' || typeof value === 'function') && value !== null && '~standard' in value
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
