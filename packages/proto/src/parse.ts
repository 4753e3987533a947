/**
 * The door: `unknown` becomes typed here, once. Behind it nothing is checked or cast again.
 *
 * Reading is lenient: fields and event types that this version does not know survive; a field that it does know must
 * have its type.
 */
import type * as z from 'zod'
import { GreenroomError, type ErrorCode } from './error.ts'
import type { RunEvent, WireEvent } from './event.ts'
import { decodePayload, encodePayload } from './frame.ts'
import { fabricVersion, type FabricRecord } from './fabric-record.ts'
import type { BrokerHeader, ClientHeader } from './header.ts'
import type { TokenClaims } from './grant.ts'
import { kinds, type RunKind, type RunMessages } from './message.ts'
import type { DeadLetter, MailboxState } from './operator.ts'
import type { Outcome } from './outcome.ts'
import type { Provision } from './provision.ts'
import { runEvent } from './schemas/event.ts'
import { fabricRecord } from './schemas/fabric-record.ts'
import { tokenClaims } from './schemas/grant.ts'
import { brokerHeader, clientHeader } from './schemas/header.ts'
import { runMessages } from './schemas/message.ts'
import { deadLetter, mailboxState } from './schemas/operator.ts'
import { outcome } from './schemas/outcome.ts'
import { provision } from './schemas/provision.ts'

/** What this version of worker and runner can do: what a peer may put into `required`. */
export const runCapabilities: readonly string[] = ['steer', 'history-parts', 'detached', 'resident']

/** The version of the provisioning document. */
export const provisionVersion = 1

function check<T>(schema: z.ZodType<T>, value: unknown, code: ErrorCode, what: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const { path, message } = deepest(result.error.issues)
  const where = path.length === 0 ? '' : ` at ${path.join('.')}`
  throw new GreenroomError(code, `${what} is not valid${where}: ${message}`)
}

/** What went wrong, said where it went wrong: of the members of a union, the one that got furthest. */
function deepest(issues: readonly z.core.$ZodIssue[]): { path: readonly PropertyKey[]; message: string } {
  const [issue] = issues
  if (issue === undefined) return { path: [], message: 'unknown reason' }
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue
  const inner = issue.errors.map(deepest).reduce((best, next) => (next.path.length > best.path.length ? next : best))
  return { path: [...issue.path, ...inner.path], message: inner.message }
}

/** Asked before the shape is checked: what is newer may be shaped otherwise, and its name is the better answer. */
function requireKnown(value: unknown, what: string): void {
  if (typeof value !== 'object' || value === null || !('required' in value) || !Array.isArray(value.required)) return
  const missing: unknown = value.required.find((name: unknown) => !runCapabilities.some((known) => known === name))
  if (typeof missing === 'string')
    throw new GreenroomError('SPEC_TOO_NEW', `${what} requires "${missing.slice(0, 128)}", which is not known here`)
}

/**
 * Checks what a client sent.
 *
 * @param header - the header of a decoded frame
 * @throws GreenroomError `BAD_FRAME`
 */
export function parseClientHeader(header: unknown): ClientHeader {
  return check(clientHeader, header, 'BAD_FRAME', 'the header')
}

/**
 * Checks what a broker sent.
 *
 * @param header - the header of a decoded frame
 * @throws GreenroomError `BAD_FRAME`
 */
export function parseBrokerHeader(header: unknown): BrokerHeader {
  return check(brokerHeader, header, 'BAD_FRAME', 'the header')
}

/**
 * Whether a text is a kind of the run protocol that this version knows.
 *
 * @param kind - what stands in a frame's header
 */
export function isRunKind(kind: string): kind is RunKind {
  return Object.hasOwn(kinds, kind)
}

/**
 * Encodes a message of the run protocol.
 *
 * @param _kind - its kind, which goes into the header
 * @param message - the message
 * @throws GreenroomError `FRAME_TOO_LARGE`
 */
export function encodeMessage<K extends RunKind>(_kind: K, message: RunMessages[K]): Uint8Array {
  return encodePayload(message)
}

/**
 * Decodes and checks a message of the run protocol.
 *
 * @param kind - its kind, out of the frame's header
 * @param payload - the frame's payload
 * @throws GreenroomError `BAD_FRAME`; for `run` `SPEC_INVALID` instead, and `SPEC_TOO_NEW` when it requires what is not
 * known here
 *
 * @example
 * ```ts
 * import { decodeMessage, encodeMessage } from '@greenroom/proto'
 *
 * const payload = encodeMessage('cancel', { runId: 'r1', epoch: 1, reason: 'not needed any more' })
 * console.log(decodeMessage('cancel', payload).reason)
 * ```
 */
export function decodeMessage<K extends RunKind>(kind: K, payload: Uint8Array): RunMessages[K] {
  return parseMessage(kind, decodePayload(payload, refusalOf(kind)))
}

/**
 * Checks a message of the run protocol whose payload was decoded already, by whoever had to know whose it is.
 *
 * @param kind - its kind, out of the frame's header
 * @param content - what {@link decodePayload} made of its payload
 * @throws GreenroomError as {@link decodeMessage}
 */
export function parseMessage<K extends RunKind>(kind: K, content: unknown): RunMessages[K] {
  if (kind === 'run') requireKnown(content, 'the run')
  return check(schemaOf(kind), content, refusalOf(kind), `the ${kind} message`)
}

function refusalOf(kind: RunKind): ErrorCode {
  return kind === 'run' ? 'SPEC_INVALID' : 'BAD_FRAME'
}

function schemaOf<K extends RunKind>(kind: K): z.ZodType<RunMessages[K]> {
  const table: { [P in RunKind]: z.ZodType<RunMessages[P]> } = runMessages
  return table[kind]
}

/**
 * Checks an event that came over the wire.
 *
 * @param event - the event
 * @returns it as one of the known types, or as it is when its type is not known here
 * @throws GreenroomError `BAD_FRAME` when it is of a known type but not shaped like it
 */
export function parseEvent(event: WireEvent): RunEvent | WireEvent {
  return knownEvents.has(event.type) ? check(runEvent, event, 'BAD_FRAME', `the ${event.type} event`) : event
}

/** The event types that this version knows. */
export const knownEvents: ReadonlySet<string> = new Set<RunEvent['type']>([
  'message',
  'tool-call',
  'tool-result',
  'data',
  'status',
  'usage',
  'text-delta',
  'reasoning-delta',
  'tool-output-delta',
  'progress',
])

/**
 * Checks a provisioning document.
 *
 * @param document - what stood on the worker's standard input, as JSON
 * @throws GreenroomError `SPEC_INVALID`, or `SPEC_TOO_NEW` when its version or what it requires is not known here
 */
export function parseProvision(document: unknown): Provision {
  if (typeof document === 'object' && document !== null && 'version' in document) {
    const { version } = document
    if (typeof version === 'number' && version > provisionVersion)
      throw new GreenroomError(
        'SPEC_TOO_NEW',
        `provisioning document of version ${version}; this worker knows ${provisionVersion}`,
      )
  }
  requireKnown(document, 'the provisioning document')
  return check(provision, document, 'SPEC_INVALID', 'the provisioning document')
}

/**
 * Checks a stored outcome.
 *
 * @param value - what was read
 * @throws GreenroomError `BAD_FRAME`
 */
export function parseOutcome(value: unknown): Outcome {
  return check(outcome, value, 'BAD_FRAME', 'the outcome')
}

/**
 * Checks a row of an operator's list of mailboxes.
 *
 * @param row - one of `ok.rows`
 * @throws GreenroomError `BAD_FRAME`
 */
export function parseMailboxState(row: unknown): MailboxState {
  return check(mailboxState, row, 'BAD_FRAME', 'the mailbox')
}

/**
 * Checks a row of an operator's list of dead letters.
 *
 * @param row - one of `ok.rows`
 * @throws GreenroomError `BAD_FRAME`
 */
export function parseDeadLetter(row: unknown): DeadLetter {
  return check(deadLetter, row, 'BAD_FRAME', 'the dead letter')
}

/**
 * Checks what a token says. Whether it is signed is not seen here.
 *
 * @param claims - the claims
 * @throws GreenroomError `UNAUTHORIZED`
 */
export function parseTokenClaims(claims: unknown): TokenClaims {
  return check(tokenClaims, claims, 'UNAUTHORIZED', 'the token')
}

/**
 * Checks a worker's record in a fabric.
 *
 * @param record - what stood in the file, as JSON
 * @throws GreenroomError `SPEC_TOO_NEW` when its version is not known here, `SPEC_INVALID`
 */
export function parseFabricRecord(record: unknown): FabricRecord {
  if (typeof record === 'object' && record !== null && 'fabric' in record) {
    const { fabric: version } = record
    if (typeof version === 'number' && version > fabricVersion)
      throw new GreenroomError('SPEC_TOO_NEW', `record of version ${version}; this program knows ${fabricVersion}`)
  }
  return check(fabricRecord, record, 'SPEC_INVALID', 'the record')
}
