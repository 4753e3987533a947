/** `greenroom token`: makes signed tokens, and shows what one says. */
import { keyIdOf, readToken, signToken, verifyToken } from '@greenroom/broker'
import {
  codeOf,
  GreenroomError,
  residentGrants,
  runnerGrants,
  systemClock,
  type Grants,
  type SendGrant,
  type TokenClaims,
} from '@greenroom/proto'
import { parseAge } from './age.ts'
import { readGivenFile } from './platform/given-file.ts'
import { readTokenKeys } from './token-keys.ts'

/** What the command line says. */
export interface TokenCommand {
  /** A file with the broker's keys: the first one signs. */
  readonly keyFile: string
  /** Whose token it will be. */
  readonly subject: string
  /** What it is for, in a word. */
  readonly role?: string
  /** Patterns, beside what the role has. */
  readonly consume?: readonly string[]
  /** Patterns, each with `:` and kinds, if not all of them are meant. */
  readonly send?: readonly string[]
  readonly present?: readonly string[]
  readonly watch?: readonly string[]
  readonly approvals?: readonly string[]
  /** For how long: see {@link parseAge}. */
  readonly expires: string
}

/** What the command line says about a token that is there. */
export interface InspectCommand {
  /** Holds the token, closed to other users. */
  readonly tokenFile: string
  /** A file with the broker's keys: whether one of them signed it. */
  readonly keyFile?: string
  /** Write one document of JSON. */
  readonly json?: boolean
}

/** So long a runner's workers' tokens may last: its detached runs, and what they tell. */
const workersMs = 30 * 86_400_000

const roles: Readonly<Record<string, (subject: string) => Grants>> = {
  worker: residentGrants,
  runner: (subject) => runnerGrants(subject, workersMs),
  operator: () => ({ operator: true, approvals: ['*'] }),
}

/**
 * Writes a new token to standard output.
 *
 * @throws GreenroomError `BAD_OPTIONS` naming the flag
 */
export async function makeToken(command: TokenCommand): Promise<void> {
  const { keyFile, subject, expires } = command
  const [key] = readTokenKeys('--key-file', keyFile)
  const expiresAt = systemClock.now() + parseAge('--expires', expires)
  const grants = grantsOf(command)
  const token = await signToken(key, { subject, grants, expiresAt }).catch((error: unknown) => {
    throw inFlags(error)
  })
  process.stdout.write(`${token}\n`)
}

function grantsOf({ subject, role, consume, send, present, watch, approvals }: TokenCommand): Grants {
  // Or the names of one subject would begin with those of another.
  if (role !== undefined && role !== 'operator' && !/^[\w-]{1,64}$/.test(subject))
    throw new GreenroomError(
      'BAD_OPTIONS',
      `--subject: of a ${role} it is 1 to 64 of A-Z a-z 0-9 _ -, since names begin with it`,
    )
  const base = role === undefined ? {} : roles[role]?.(subject)
  if (base === undefined)
    throw new GreenroomError('BAD_OPTIONS', `--role ${role} is none: ${Object.keys(roles).join(', ')}`)
  const lists = { consume, present, watch, approvals }
  const more = Object.entries(lists).flatMap(([field, patterns = []]) => {
    const all = [...(base[isList(field) ? field : 'consume'] ?? []), ...patterns]
    return all.length === 0 ? [] : [[field, all] as const]
  })
  const sends = [...(base.send ?? []), ...(send ?? []).map(sendGrant)]
  const grants = { ...base, ...Object.fromEntries(more), ...(sends.length > 0 && { send: sends }) }
  if (Object.keys(grants).length === 0)
    throw new GreenroomError('BAD_OPTIONS', 'it would allow nothing: give --role, or --consume, --send and others')
  return grants
}

function isList(field: string): field is 'consume' | 'present' | 'watch' | 'approvals' {
  return ['consume', 'present', 'watch', 'approvals'].includes(field)
}

function sendGrant(text: string): SendGrant {
  const [to = '', kinds] = text.split(':')
  return { to: [to], ...(kinds !== undefined && { kinds: kinds.split(',') }) }
}

function inFlags(error: unknown): unknown {
  if (codeOf(error) !== 'BAD_OPTIONS' || !(error instanceof Error)) return error
  const flag = error.message.includes('the key') ? '--key-file: ' : error.message.includes('sub') ? '--subject: ' : ''
  return new GreenroomError('BAD_OPTIONS', `${flag}${error.message}`, { cause: error })
}

/**
 * Writes what a token says, and, with a key, whether it is worth anything.
 *
 * @throws GreenroomError `BAD_OPTIONS`, `UNAUTHORIZED` when it is no token, or none of these keys signed it, `TOKEN_EXPIRED`
 */
export async function inspectToken({ tokenFile, keyFile, json }: InspectCommand): Promise<void> {
  const token = readGivenFile('--token-file', tokenFile, { secret: true }).trim()
  const keys = keyFile === undefined ? undefined : readTokenKeys('--key-file', keyFile)
  const claims = readToken(token)
  if (keys !== undefined) await verifyToken(keys, token)
  process.stdout.write(
    json === true
      ? `${JSON.stringify({ ...claims, verified: keys !== undefined })}\n`
      : inWords(
          claims,
          keys === undefined ? 'not verified: give --key-file' : `signed by ${keys.map(keyIdOf).join(' or ')}`,
        ),
  )
}

function inWords({ sub, iat, exp, grants }: TokenClaims, verdict: string): string {
  const at = (seconds: number): string => new Date(seconds * 1_000).toISOString()
  const rows = Object.entries(grants).map(([field, value]) => `  ${field}: ${JSON.stringify(value)}`)
  return [`subject: ${sub}`, `made: ${at(iat)}`, `expires: ${at(exp)}`, verdict, 'grants:', ...rows, ''].join('\n')
}
