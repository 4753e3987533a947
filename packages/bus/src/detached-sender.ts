/**
 * The worker's end of a link whose runner may be away for days (PROTOCOL.md R10): entries go to the runner's mailbox on the
 * durable lane, deltas nowhere. The window of an ordinary sender becomes what is not stored yet.
 *
 * - *L7* One message is on its way at a time: what the broker stores is in the order of the events.
 * - *L8* A message is repeated with its id until it is stored, however long the bus is away.
 */
import { codeOf, errors, GreenroomError, isDelta, isErrorCode, systemClock, type Peer } from '@greenroom/proto'
import { createLinkSender, type LinkPeer, type LinkSender, type LinkSenderOptions } from './link-sender.ts'

/** How long until a message that was refused for now is repeated, in milliseconds. */
const retryMs = 500

/** How to open one. */
export interface DetachedSenderOptions extends Omit<LinkSenderOptions, 'peer' | 'progress'> {
  /** The worker's peer. */
  readonly peer: LinkPeer & Pick<Peer, 'send'>
  /** Called once, when the runner's mailbox takes no more: what is not stored never will be. */
  readonly onRefused?: (error: unknown) => void
}

/**
 * Opens the worker's end of a link for a detached run. Deltas are dropped: `emit` gives them no number of their own.
 * `flushed` waits until every entry is stored.
 *
 * @param options - the worker's peer, the runner's mailbox, the attempt
 *
 * @example
 * ```ts
 * import { createDetachedSender } from '@greenroom/bus'
 * import type { Peer } from '@greenroom/proto'
 *
 * declare const peer: Peer
 * const link = createDetachedSender({ peer, to: 'runner.1', ref: { runId: 'r1', epoch: 1 } })
 * await link.emit({ type: 'status', status: 'working' })
 * await link.flushed()
 * link.close()
 * ```
 */
export function createDetachedSender(options: DetachedSenderOptions): LinkSender {
  const { peer, to, ref, clock = systemClock } = options
  let deltas = 0
  let isSending = false
  const store = async (payload: Uint8Array): Promise<void> => {
    // All before it is stored (L7), so its first event follows what was acknowledged last.
    const id = `events-${ref.runId}-${ref.epoch}-${link.acked + 1}`
    for (;;) {
      try {
        return void (await peer.send({ to, id, kind: 'events', payload }))
      } catch (error) {
        if (!mayHelp(error)) throw error
        await new Promise<void>((resolve) => void clock.timer(retryMs, resolve))
      }
    }
  }
  const stored = (): void => {
    isSending = false
    link.ack(Infinity)
    // Sends what came meanwhile.
    link.resume(Infinity)
  }
  const refused = (error: unknown): void => {
    link.close()
    options.onRefused?.(error)
  }
  const publish: LinkPeer['publish'] = (message) => {
    if (message.kind !== 'events') return peer.publish(message)
    if (isSending) return false
    isSending = true
    store(message.payload).then(stored, refused)
    return true
  }
  const link = createLinkSender({ ...options, peer: { publish }, progress: () => link.lastSeq + deltas })
  return {
    emit(event, waiting) {
      if (!isDelta(event.type)) return link.emit(event, waiting)
      deltas += 1
      return Promise.resolve(link.lastSeq)
    },
    ack: () => undefined,
    resume: () => undefined,
    attached: () => link.attached(),
    get lastSeq() {
      return link.lastSeq
    },
    get acked() {
      return link.acked
    },
    get waiting() {
      return link.waiting
    },
    flushed: (signal) => link.flushed(signal),
    close: () => link.close(),
  }
}

/** The runner knows each event by its number: one that may be stored already may be sent again at any time. */
function mayHelp(error: unknown): boolean {
  const code = error instanceof GreenroomError ? codeOf(error) : undefined
  return code === 'OUTCOME_UNKNOWN' || (isErrorCode(code) && errors[code].retry === 'later')
}
