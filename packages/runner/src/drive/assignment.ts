/** What is sent to a worker to start an attempt: the assignment, and before it the history when that is long (R1). */
import {
  encodeMessage,
  encodePayload,
  GreenroomError,
  limits,
  codeOf,
  type Message,
  type Outgoing,
  type Run,
} from '@greenroom/proto'

/** The id of the message that starts an attempt: what is claimed or revoked. */
export function runMessageId({ runId, epoch }: Pick<Run, 'runId' | 'epoch'>): string {
  return `run-${runId}-${epoch}`
}

/** Groups messages so that each group stays below the size of a history part, unless one message alone is larger. */
function partsOf(messages: readonly Message[]): Message[][] {
  const parts: Message[][] = []
  let bytes = Infinity
  for (const message of messages) {
    const size = encodePayload(message).length
    if (bytes + size > limits.historyPartBytes) {
      parts.push([])
      bytes = 0
    }
    bytes += size
    parts.at(-1)?.push(message)
  }
  return parts
}

/**
 * Encodes an assignment.
 *
 * @param run - the whole assignment, with all of its history in `messages`
 * @param to - the worker's mailbox
 * @returns the messages to send, in order; the last one starts the attempt
 * @throws GreenroomError `SPEC_TOO_LARGE`, `SPEC_INVALID` when it is not JSON
 */
export function encodeAssignment(run: Run, to: string): Outgoing[] {
  try {
    const { messages = [], ...rest } = run
    const { runId, epoch } = run
    const parts = partsOf(messages)
    const id = runMessageId(run)
    if (parts.length < 2) return [{ to, id, kind: 'run', payload: encodeMessage('run', run) }]
    const required = [...(run.required ?? []), 'history-parts']
    return [
      ...parts.map((part, index) => ({
        to,
        id: `history-${runId}-${epoch}-${index + 1}`,
        kind: 'history',
        payload: encodeMessage('history', { runId, epoch, part: index + 1, parts: parts.length, messages: part }),
      })),
      { to, id, kind: 'run', payload: encodeMessage('run', { ...rest, required, historyParts: parts.length }) },
    ]
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new GreenroomError(
      codeOf(cause) === 'FRAME_TOO_LARGE' ? 'SPEC_TOO_LARGE' : 'SPEC_INVALID',
      `the run: ${message}`,
      { cause },
    )
  }
}
