/** Reading a `run` message: what is asked for, or why it cannot be done. */
import {
  codeOf,
  decodeMessage,
  decodePayload,
  isId,
  isName,
  type Delivery,
  type Failure,
  type Run,
  type RunRef,
} from '@greenroom/proto'
import { messageOf } from './ending.ts'

/** A `run` message as far as it can be read: enough to answer it. */
export type Order = { readonly ref: RunRef; readonly replyTo: string } & (
  | { readonly run: Run; readonly error?: undefined }
  | { readonly run?: undefined; readonly error: Failure }
)

/**
 * Reads a `run` message.
 *
 * @param delivery - the message
 * @returns undefined when it does not even say which run it is
 */
export function readOrder(delivery: Delivery): Order | undefined {
  try {
    const run = decodeMessage('run', delivery.payload)
    return { ref: { runId: run.runId, epoch: run.epoch }, replyTo: run.replyTo, run }
  } catch (error) {
    const found = salvage(delivery.payload)
    if (found === undefined) return undefined
    const failure = { code: codeOf(error) ?? 'SPEC_INVALID', message: messageOf(error) }
    return { ref: found.ref, replyTo: found.replyTo ?? delivery.from, error: failure }
  }
}

function salvage(payload: Uint8Array): { ref: RunRef; replyTo?: string } | undefined {
  try {
    const value = decodePayload(payload)
    if (typeof value !== 'object' || value === null || !('runId' in value) || !('epoch' in value)) return undefined
    const { runId, epoch } = value
    if (!isId(runId) || typeof epoch !== 'number' || !Number.isInteger(epoch) || epoch < 1) return undefined
    const replyTo = 'replyTo' in value && isName(value.replyTo) ? { replyTo: value.replyTo } : {}
    return { ref: { runId, epoch }, ...replyTo }
  } catch {
    return undefined
  }
}
