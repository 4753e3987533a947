/**
 * The messages that this incarnation holds.
 *
 * - *H1* A message is held from its delivery until the broker *confirmed* its ack, claim or nack. Until then it is named
 *   at every attach, so that an acknowledgement lost on the way neither brings the message back nor loses it.
 * - *H2* A message that comes again while it is held is the same one, unless its attempt has grown, or it has another place:
 *   then it was given back in between (a nack whose answer was lost), or put back by an operator after that, and it is handed
 *   over anew.
 * - *H3* The acks of one tick are one request.
 * - *H4* What may time out is held as one delivery of a message, not as the message: its attempt goes along with its id, so
 *   that what is said of it never counts for a later one. Refused with `NOT_HOLDER` it is held no more.
 */
import { codeOf, limits } from '@greenroom/proto'
import type { Attach, Deliver, Delivery, GreenroomError, Ok } from '@greenroom/proto'

/** What a delivery may say about itself. */
export type Verdict =
  | { readonly t: 'ack'; readonly ids: readonly string[]; readonly attempts?: readonly number[] }
  | { readonly t: 'claim' | 'touch'; readonly id: string; readonly attempt: number }
  | { readonly t: 'nack'; readonly id: string; readonly attempt: number; readonly delayMs?: number }

/** How verdicts leave. */
export interface HoldingOptions {
  /** Makes a request of it; resolves when the broker has confirmed. */
  readonly request: (verdict: Verdict) => Promise<Ok>
  readonly defer: (flush: () => void) => void
  /** Whether what is held may time out (H4). */
  readonly timesOut: boolean
}

/** Headers may be 16 KiB; what else stands in them stays far below the rest. */
const HEADER_ROOM = limits.headerBytes - 4 * 1024

interface Batch {
  readonly deliveries: HeldDelivery[]
  readonly done: PromiseWithResolvers<void>
  bytes: number
}

/** See H1 to H3. */
export class Holding {
  readonly #options: HoldingOptions
  readonly #held = new Map<string, HeldDelivery>()
  #batch: Batch | undefined

  constructor(options: HoldingOptions) {
    this.#options = options
  }

  /**
   * Takes what the broker delivered.
   *
   * @returns what to hand over; undefined when it is held already (H2)
   */
  take(header: Deliver, payload: Uint8Array): Delivery | undefined {
    const known = this.#held.get(header.id)
    if (known?.seq === header.seq && known.attempt >= header.attempt) return undefined
    const delivery = new HeldDelivery(header, payload, this)
    this.#held.set(header.id, delivery)
    return delivery
  }

  /**
   * What to name at an attach, oldest first, as many as fit into the header. What is left out comes again and is known (H2).
   *
   * @param room - bytes that are left in the header
   */
  listed(room: number): Pick<Attach, 'held' | 'attempts'> {
    const listed: HeldDelivery[] = []
    let left = room
    for (const delivery of this.#held.values()) {
      left -= this.#weigh(delivery)
      if (left < 0 || listed.length === limits.heldIds) break
      listed.push(delivery)
    }
    const held = listed.map(({ id }) => id)
    return held.length === 0 ? {} : { held, ...this.#attempts(listed) }
  }

  /** H4 */
  #attempts(deliveries: readonly HeldDelivery[]): { readonly attempts?: readonly number[] } {
    return this.#options.timesOut ? { attempts: deliveries.map(({ attempt }) => attempt) } : {}
  }

  /** Bytes that it takes in a list. */
  #weigh({ id, attempt }: HeldDelivery): number {
    return id.length + 3 + (this.#options.timesOut ? String(attempt).length + 1 : 0)
  }

  /** Whether an ack is still to be sent. */
  get hasUnsent(): boolean {
    return this.#batch !== undefined
  }

  /** Ends what was not sent yet. */
  end(error: GreenroomError): void {
    this.#batch?.done.reject(error)
    this.#batch = undefined
  }

  /** @internal */
  ack(delivery: HeldDelivery): Promise<void> {
    const size = this.#weigh(delivery)
    if (this.#batch !== undefined && this.#batch.bytes + size > HEADER_ROOM) this.flush()
    if (this.#batch === undefined) {
      this.#batch = { deliveries: [], done: Promise.withResolvers<void>(), bytes: 0 }
      // Nobody needs to wait for an ack: that it fails when the peer ends is then no unhandled rejection.
      this.#batch.done.promise.catch(() => {})
      this.#options.defer(() => this.flush())
    }
    this.#batch.deliveries.push(delivery)
    this.#batch.bytes += size
    return this.#batch.done.promise
  }

  /** @internal */
  async settle(verdict: Verdict, delivery: HeldDelivery): Promise<void> {
    try {
      await this.#options.request(verdict)
    } finally {
      this.#drop(delivery)
    }
  }

  /** @internal */
  async touch(delivery: HeldDelivery): Promise<void> {
    try {
      await this.#options.request({ t: 'touch', id: delivery.id, attempt: delivery.attempt })
    } catch (error) {
      if (codeOf(error) === 'NOT_HOLDER') this.#drop(delivery)
      throw error
    }
  }

  /** Sends the acks that wait for the end of the tick. */
  flush(): void {
    const batch = this.#batch
    if (batch === undefined) return
    this.#batch = undefined
    const dropAll = (): void => batch.deliveries.forEach((delivery) => this.#drop(delivery))
    const ids = batch.deliveries.map(({ id }) => id)
    this.#options.request({ t: 'ack', ids, ...this.#attempts(batch.deliveries) }).then(
      () => {
        dropAll()
        batch.done.resolve()
      },
      (error: unknown) => {
        dropAll()
        batch.done.reject(error)
      },
    )
  }

  #drop(delivery: HeldDelivery): void {
    if (this.#held.get(delivery.id) === delivery) this.#held.delete(delivery.id)
  }
}

class HeldDelivery implements Delivery {
  readonly id: string
  readonly kind: string
  readonly seq: number
  readonly attempt: number
  readonly from: string
  readonly fromIncarnation: string | undefined
  readonly at: number
  readonly payload: Uint8Array
  readonly #holding: Holding
  /** Its ack or nack: the first one stands. */
  #settled: Promise<void> | undefined
  /** A touch that is not answered yet: another one would say the same. */
  #touched: Promise<void> | undefined

  constructor(header: Deliver, payload: Uint8Array, holding: Holding) {
    this.id = header.id
    this.kind = header.kind
    this.seq = header.seq
    this.attempt = header.attempt
    this.from = header.from
    this.fromIncarnation = header.fromIncarnation
    this.at = header.at
    this.payload = payload
    this.#holding = holding
  }

  ack(): Promise<void> {
    this.#settled ??= this.#holding.ack(this)
    return this.#settled
  }

  claim(): Promise<void> {
    return this.#holding.settle({ t: 'claim', id: this.id, attempt: this.attempt }, this)
  }

  touch(): Promise<void> {
    if (this.#touched === undefined) {
      this.#touched = this.#holding.touch(this).finally(() => (this.#touched = undefined))
      this.#touched.catch(() => {})
    }
    return this.#touched
  }

  nack(options?: { readonly delayMs?: number }): Promise<void> {
    if (this.#settled === undefined) {
      const delayMs = options?.delayMs
      this.#settled = this.#holding.settle(
        { t: 'nack', id: this.id, attempt: this.attempt, ...(delayMs === undefined ? {} : { delayMs }) },
        this,
      )
      this.#settled.catch(() => {})
    }
    return this.#settled
  }
}
