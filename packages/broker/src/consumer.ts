/** Who consumes a mailbox: a connection's session, or a peer in this process. */
import type { ErrorCode } from '@greenroom/proto'

/** Who sends: an attached incarnation, or a connection that never attached. */
export interface Sender {
  readonly address: string
  readonly incarnation: string | undefined
}

/** The sender of whoever never attached. Nobody may attach as this. */
export const anonymous: Sender = { address: 'anonymous', incarnation: undefined }

/** A durable message on its way to the consumer. */
export interface Delivered {
  readonly seq: number
  readonly id: string
  readonly kind: string
  readonly from: string
  readonly fromIncarnation: string | undefined
  readonly attempt: number
  readonly control: boolean
  readonly at: number
  readonly payload: Uint8Array
}

/** A live message on its way to the consumer. */
export interface LiveDelivered {
  readonly to: string
  readonly kind: string
  readonly from: string
  readonly fromIncarnation: string | undefined
  /** Belongs to the sender: copy it to keep it beyond the call. */
  readonly payload: Uint8Array
}

/** Why a consumer is over: another incarnation, its own newer connection, its incarnation's end, or the broker's. */
export type ConsumerEnd = Extract<ErrorCode, 'REPLACED' | 'FENCED' | 'CLOSED'>

/** What the broker hands messages to. None of these may call back into the broker before it returns. */
export interface Consumer {
  /** Whether it has room for more; when it has again, it calls `Attachment.wake`. */
  ready(): boolean
  deliver(message: Delivered): void
  /** @returns false when it was dropped, since too much waits */
  live(message: LiveDelivered): boolean
  /** It is not the consumer any more and hears nothing further. */
  end(code: ConsumerEnd, message: string): void
}
