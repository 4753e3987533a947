/**
 * A secret reaches an executor when three agree: the runner has it, the role names it, the executor declares it. Whoever
 * asks in vain is told which of them does not, and where to add it; never a value.
 *
 * That the runner has what its roles name is checked by the runner: it refuses to start, or the run.
 */
import { GreenroomError, type Run } from '@greenroom/proto'
import type { Executor } from './executor.ts'

/**
 * The value of a secret.
 *
 * @param name - what the executor asks for
 * @param executor - what declares it
 * @param given - what the worker got: the secrets that the role names
 * @param run - for the names of its executor and role
 * @throws GreenroomError `SECRET_UNDECLARED`, `SECRET_MISSING`
 */
export function secretOf(
  name: string,
  { secrets }: Pick<Executor, 'secrets'>,
  given: Readonly<Record<string, string>>,
  run: Pick<Run, 'executor' | 'role'>,
): string {
  const value = Object.hasOwn(given, name) ? given[name] : undefined
  const [executor, role] = [`the executor "${run.executor}"`, `the role "${run.role}"`]
  const add = `add secrets: ['${name}'] to`
  if (secrets.includes(name)) {
    if (value !== undefined) return value
    throw new GreenroomError(
      'SECRET_MISSING',
      `secret "${name}": ${executor} declares it, but ${role} does not name it: ${add} the role, whose runner must have it too`,
    )
  }
  throw new GreenroomError(
    'SECRET_UNDECLARED',
    value === undefined
      ? `secret "${name}": neither does ${executor} declare it nor ${role} name it: ${add} both; the role's runner must have it too`
      : `secret "${name}": ${role} names it and the runner has it, but ${executor} does not declare it: ${add} the executor`,
  )
}
