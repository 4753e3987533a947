/** Checks of what a worker's author gives: no compiler need have seen it, and what is misspelt would be trusted in vain. */
import { GreenroomError, placeOf } from '@greenroom/proto'
import * as z from 'zod'
import type { ExecutorDefinition, Executors } from './executor.ts'
import type { ServeOptions } from './serve.ts'
import type { WorkerOptions } from './worker.ts'

/**
 * An object with no other members than these.
 *
 * @param shape - what they must be
 */
export function strictObject<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  const known = Object.keys(shape).join(', ')
  const error: z.core.$ZodErrorMap = ({ code, keys }) =>
    code === 'unrecognized_keys' && Array.isArray(keys) ? `"${keys[0]}" must be one of ${known}` : undefined
  return z.strictObject(shape, { error })
}

/**
 * What is wrong with a value first, and where: what is misspelt, before that it is missing.
 *
 * @param name - what to call the value
 * @param error - what a schema found
 */
export function flawOf(name: string, error: z.ZodError): string {
  const { issues } = error
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]
  return `${placeOf(name, issue?.path ?? [])}: ${issue?.message}`
}

function check(name: string, schema: z.ZodType, given: unknown): void {
  const { error } = schema.safeParse(given)
  if (error !== undefined) throw new GreenroomError('BAD_OPTIONS', flawOf(name, error))
}

function memberOf(value: unknown, name: string): unknown {
  const hasMembers = (typeof value === 'object' && value !== null) || typeof value === 'function'
  return hasMembers ? Reflect.get(value, name) : undefined
}

/** Something with these methods. */
const having = <T>(...methods: readonly string[]): z.ZodType<T> =>
  z.custom<T>(
    (it) => methods.every((name) => typeof memberOf(it, name) === 'function'),
    `must have ${methods.join(', ')}`,
  )

/** Some libraries' schemas are functions. */
const standard = z.custom(
  (it) => typeof memberOf(memberOf(it, '~standard'), 'validate') === 'function',
  'must be a Standard Schema, such as one of zod',
)
const called = z.custom((it) => typeof it === 'function', 'must be a function')

const members = {
  version: z.string().min(1).max(128),
  input: standard.optional(),
  output: standard.optional(),
  secrets: z.array(z.string().min(1)),
  lateBound: z.array(z.enum(['workspace', 'model', 'tools'])),
  slots: z.int().min(1),
  idempotent: z.boolean(),
  suspendable: z.boolean(),
  run: called,
} satisfies Record<keyof ExecutorDefinition, z.ZodType>
const definition = strictObject(members).partial({
  secrets: true,
  lateBound: true,
  slots: true,
  idempotent: true,
  suspendable: true,
})
const executor = z.custom<Executors[string]>(
  (it) => z.looseObject(members).safeParse(it).success,
  'must be what defineExecutor gave',
)
const executors = z.record(z.string(), executor)
const serveOptions = strictObject({ executors } satisfies Record<keyof ServeOptions, z.ZodType>)
const workerOptions = strictObject({
  bus: having('attach'),
  provision: z.looseObject({
    address: z.string(),
    incarnation: z.string(),
    role: z.string(),
    executors: z.array(z.string()),
  }),
  executors,
  platform: having('spawn', 'log'),
  clock: having('now', 'monotonic', 'timer').optional(),
  random: having('fraction', 'id').optional(),
  renew: called.optional(),
  signal: having('addEventListener', 'throwIfAborted').optional(),
} satisfies Record<keyof WorkerOptions, z.ZodType>)

/**
 * Checks what {@link defineExecutor} was given.
 *
 * @param given - anything, when the caller is not compiled
 * @throws GreenroomError `BAD_OPTIONS`
 */
export const checkDefinition = (given: unknown): void => check('definition', definition, given)

/**
 * Checks what {@link serveWorker} was given.
 *
 * @param given - anything, when the caller is not compiled
 * @throws GreenroomError `BAD_OPTIONS`
 */
export const checkServeOptions = (given: unknown): void => check('options', serveOptions, given)

/**
 * Checks what {@link startWorker} was given.
 *
 * @param given - anything, when the caller is not compiled
 * @throws GreenroomError `BAD_OPTIONS`
 */
export const checkWorkerOptions = (given: unknown): void => check('options', workerOptions, given)
