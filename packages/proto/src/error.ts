/**
 * Errors: one class, one table.
 *
 * Callers test `error.code`, never `instanceof`: a code survives a process border and two copies of a package.
 */

/** Whether trying again may help: `never` (the same call fails again) or `later`. */
export type Retry = 'never' | 'later'

/** A row of the error table. */
export interface ErrorRow {
  /** Whether trying again may help. */
  readonly retry: Retry
  /** The WebSocket close code with which a broker ends a connection for this reason, where it does. */
  readonly close?: number
  /** What it means, in a sentence. */
  readonly text: string
}

/** Every code a user can meet, with its meaning. */
export const errors = {
  // Connection: the broker closes the socket with `close`.
  BAD_FRAME: { retry: 'never', close: 4400, text: 'The frame is malformed or not allowed here.' },
  UNAUTHORIZED: { retry: 'never', close: 4401, text: 'The token is missing or wrong.' },
  TOKEN_EXPIRED: { retry: 'never', close: 4402, text: 'The token has expired; a newer one is needed.' },
  FORBIDDEN: { retry: 'never', close: 4403, text: 'The token does not grant this, or there is no such thing.' },
  UNSUPPORTED_VERSION: { retry: 'never', close: 4406, text: 'The two sides share no wire version.' },
  MISSING_CAPABILITY: {
    retry: 'never',
    close: 4407,
    text: 'A required capability is not offered; the message names it.',
  },
  HELLO_TIMEOUT: { retry: 'later', close: 4408, text: 'No hello arrived within the deadline.' },
  REPLACED: { retry: 'never', close: 4409, text: 'Another consumer took the mailbox over; this one must stop.' },
  FENCED: { retry: 'never', close: 4410, text: 'This incarnation was declared gone; it must abort its work and exit.' },
  FRAME_TOO_LARGE: { retry: 'never', close: 4413, text: 'The frame is larger than the limit.' },
  TOO_MANY_CONNECTIONS: { retry: 'later', close: 4429, text: 'The broker serves as many connections as it may.' },
  SLOW_CONSUMER: { retry: 'later', close: 4430, text: 'The connection does not read what it asked for.' },
  SHUTTING_DOWN: { retry: 'later', close: 4503, text: 'The broker is stopping; connect again later.' },
  // Durable lane.
  ID_CONFLICT: { retry: 'never', text: 'The same message id was used before with other content.' },
  MAILBOX_FULL: { retry: 'later', text: 'The mailbox or the broker holds as much as it may.' },
  MAILBOX_CLOSED: { retry: 'never', text: 'The mailbox belonged to an incarnation that is gone.' },
  MAILBOX_IN_USE: { retry: 'later', text: 'Somebody has the mailbox.' },
  UNKNOWN_MAILBOX: { retry: 'never', text: 'There is no such mailbox.' },
  UNKNOWN_LETTER: { retry: 'never', text: 'There is no such dead letter.' },
  REVOKED: { retry: 'never', text: 'The message was revoked before it was claimed.' },
  NOT_HOLDER: { retry: 'never', text: 'The message is not held by this consumer.' },
  STORAGE_FULL: { retry: 'later', text: 'Free space is below the reserve: nothing new is taken.' },
  COMMIT_UNKNOWN: { retry: 'later', text: 'The storage did not confirm; send again with the same ids.' },
  OUTCOME_UNKNOWN: { retry: 'never', text: 'It cannot be known any more whether this happened.' },
  UNDELIVERABLE: { retry: 'never', text: 'The mailbox closed before its consumer took the message.' },
  PAYLOAD_DAMAGED: { retry: 'never', text: 'The stored payload does not match its digest; it is not given out.' },
  MISSING_FEATURE: {
    retry: 'never',
    text: 'The call needs what this bus does not have, or what its consumer did not ask for.',
  },
  // Client side of a bus.
  CERTIFICATE_UNTRUSTED: {
    retry: 'never',
    text: "The broker's certificate is of no authority that is trusted, or for another host.",
  },
  CERTIFICATE_EXPIRED: { retry: 'later', text: "The broker's certificate has expired, or does not hold yet." },
  INSECURE_URL: {
    retry: 'never',
    text: 'Plain ws:// to another machine would show the token to the network; use wss://.',
  },
  CONNECT_FAILED: { retry: 'later', text: 'The broker could not be reached.' },
  TIMEOUT: { retry: 'later', text: 'The deadline of the call passed.' },
  ABORTED: { retry: 'never', text: "The caller's signal aborted the call." },
  CLOSED: { retry: 'never', text: 'The object was closed.' },
  // Configuration and storage.
  BAD_OPTIONS: { retry: 'never', text: 'The options are not valid; the message names the field.' },
  DATA_DIR_IN_USE: { retry: 'later', text: 'Another live process owns the data folder; the message names it.' },
  SCHEMA_TOO_NEW: { retry: 'never', text: 'The data folder was written by a newer version.' },
  IO_FAILED: { retry: 'later', text: 'The file system or SQLite refused; the message says what.' },
  MIGRATION_FAILED: { retry: 'never', text: 'The data folder could not be brought to the present version.' },
  STORE_FAILED: { retry: 'later', text: 'The storage is of no more use to this process; open it again.' },
  STORE_DAMAGED: { retry: 'never', text: 'The database cannot be read.' },
  UNSUPPORTED_PLATFORM: { retry: 'never', text: 'Greenroom runs on Linux and macOS (Windows: inside WSL).' },
  // Worker and run.
  SPEC_INVALID: { retry: 'never', text: 'The provisioning document or run is not valid; the message says where.' },
  SPEC_TOO_LARGE: { retry: 'never', text: 'The provisioning document or run is larger than the limit.' },
  SPEC_TOO_NEW: { retry: 'never', text: 'The provisioning document or run asks for what this worker does not know.' },
  UNKNOWN_ROLE: { retry: 'never', text: 'The runner has no such role.' },
  UNKNOWN_EXECUTOR: { retry: 'never', text: 'The worker has no such executor; the message lists those it has.' },
  UNKNOWN_RUN: { retry: 'never', text: 'There is no such run.' },
  INPUT_INVALID: { retry: 'never', text: "The input does not pass the executor's schema." },
  OUTPUT_INVALID: { retry: 'never', text: "The output does not pass the executor's schema." },
  EXECUTOR_ERROR: { retry: 'never', text: 'The executor threw; the message is its own.' },
  COMMAND_FAILED: { retry: 'never', text: 'The program ended with a code other than 0, or by a signal.' },
  COMMAND_NOT_FOUND: { retry: 'never', text: 'There is no such program, or no such folder to run it in.' },
  SECRET_UNDECLARED: { retry: 'never', text: 'The executor asked for a secret that it does not declare.' },
  SECRET_MISSING: {
    retry: 'never',
    text: 'A declared secret was not given: its role does not name it, or the runner has none.',
  },
  WORKER_SPAWN_FAILED: {
    retry: 'later',
    text: 'The worker process did not become ready; the message holds its last lines.',
  },
  WORKER_LOST: { retry: 'later', text: 'The worker ended or fell silent while it had the run.' },
  BUSY: { retry: 'later', text: 'The worker has no free slot.' },
  DRAINING: { retry: 'later', text: 'The worker or runner takes no new work.' },
  DEPTH_EXCEEDED: { retry: 'never', text: 'Children may not be nested deeper.' },
  QUEUE_FULL: { retry: 'later', text: 'As many runs are waiting as may.' },
  UNKNOWN_APPROVAL: { retry: 'never', text: 'No approval has this id, or none that is yours.' },
  UNKNOWN_TOOL: { retry: 'never', text: 'The role may call no such tool over the bridge, or its server has none.' },
  TOOL_SERVER_DOWN: { retry: 'later', text: 'The MCP server could not be reached: nothing was called.' },
  TOOL_FAILED: { retry: 'never', text: 'The MCP server refused the call; the message is its own.' },
  APPROVAL_PENDING: { retry: 'later', text: 'A run with an open approval of its own cannot suspend.' },
  ASK_TIMEOUT: { retry: 'later', text: 'The question was not answered in time.' },
  ASK_UNSUPPORTED: { retry: 'never', text: "The run's executor answers no questions." },
  ASK_UNANSWERED: { retry: 'later', text: 'The run ended, or was suspended, before it answered.' },
  ASK_FAILED: { retry: 'never', text: 'The question could not be answered; the message says why.' },
  POOL_EMPTY: { retry: 'later', text: 'No live worker serves the pool; nothing is started locally instead.' },
  POOL_FULL: { retry: 'later', text: 'Every worker of the pool is busy.' },
  POOL_HELD_BY_ANCESTOR: { retry: 'never', text: "The run's own ancestors hold every slot it could use." },
  LIMIT_ROUNDS: { retry: 'never', text: 'The run used all its rounds.' },
  LIMIT_TOKENS: { retry: 'never', text: 'The run used all its tokens.' },
  LIMIT_COST: { retry: 'never', text: 'The run used all its money.' },
  LIMIT_OUTPUT: { retry: 'never', text: 'The run wrote more than it may.' },
  LIMIT_MEMORY: { retry: 'never', text: 'The worker used more memory than it may.' },
  LIMIT_BUDGET: { retry: 'never', text: "The tree's budget is used up." },
  NOT_SUPPORTED: { retry: 'never', text: 'This is not built yet.' },
  INTERNAL: { retry: 'never', text: 'A defect in Greenroom; please report it.' },
} as const satisfies Record<string, ErrorRow>

/** A code out of {@link errors}. */
export type ErrorCode = keyof typeof errors

/**
 * Whether a text is a code of {@link errors}. Codes of a newer peer, and those executors make up, are not.
 *
 * @param code - anything
 */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errors, code)
}

/**
 * What every package of Greenroom throws.
 *
 * @example
 * ```ts
 * import { GreenroomError } from '@greenroom/proto'
 *
 * const error = new GreenroomError('UNKNOWN_ROLE', 'no role "reviewer"; there are: tester')
 * console.log(error.code, error.retry) // UNKNOWN_ROLE never
 * ```
 */
export class GreenroomError extends Error {
  override readonly name = 'GreenroomError'
  /** What happened, from {@link errors}. */
  readonly code: ErrorCode
  /** Whether trying again may help. */
  readonly retry: Retry

  /**
   * @param code - what happened
   * @param message - what a person needs to know; the table's text when left out
   * @param options - `cause`: the error beneath
   */
  constructor(code: ErrorCode, message?: string, options?: { readonly cause?: unknown }) {
    super(message ?? errors[code].text, options)
    this.code = code
    this.retry = errors[code].retry
  }
}

/**
 * The code of whatever was thrown, for branching without `instanceof`.
 *
 * @param error - anything that was thrown
 * @returns its code when it has one of {@link errors}, else `undefined`
 */
export function codeOf(error: unknown): ErrorCode | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return isErrorCode(error.code) ? error.code : undefined
}
