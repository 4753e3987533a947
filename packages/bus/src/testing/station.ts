/** What a contract case sees of a peer: everything its handlers were told, in queues to wait on. */
import assert from 'node:assert/strict'
import type { Bus, Delivery, LiveMessage, Operator, Peer, PeerOptions, PeerState } from '@greenroom/proto'
import type { BusHarness } from './bus-case.ts'

/** Values in the order in which they came, each taken once. */
export class Queue<T> {
  readonly #values: T[] = []
  readonly #takers: ((value: T) => void)[] = []

  /** How many came that nobody took. */
  get length(): number {
    return this.#values.length
  }

  push(value: T): void {
    const taker = this.#takers.shift()
    if (taker === undefined) this.#values.push(value)
    else taker(value)
  }

  /** The next value; waits for it. */
  next(): Promise<T> {
    if (this.#values.length === 0) return new Promise((resolve) => this.#takers.push(resolve))
    const [value] = this.#values.splice(0, 1)
    return value === undefined ? this.next() : Promise.resolve(value)
  }

  /** The next `count` values; waits for them. */
  async take(count: number): Promise<T[]> {
    const values: T[] = []
    while (values.length < count) values.push(await this.next())
    return values
  }

  /** The next value for which the test holds; those before it are dropped. */
  async until(test: (value: T) => boolean): Promise<T> {
    for (;;) {
      const value = await this.next()
      if (test(value)) return value
    }
  }
}

/** A peer and what it was told. */
export interface Station {
  readonly peer: Peer
  readonly messages: Queue<Delivery>
  readonly live: Queue<LiveMessage>
  readonly states: Queue<PeerState>
  readonly errors: Queue<unknown>
}

/**
 * Attaches a peer whose handlers fill queues. Its incarnation is `<address>-1`, its mailbox is named, unless the options
 * say otherwise; handlers among them are called first.
 */
export async function open(bus: Bus, address: string, options: Partial<PeerOptions> = {}): Promise<Station> {
  const messages = new Queue<Delivery>()
  const live = new Queue<LiveMessage>()
  const states = new Queue<PeerState>()
  const errors = new Queue<unknown>()
  const peer = await bus.attach({
    incarnation: `${address}-1`,
    lifetime: 'named',
    ...options,
    address,
    onMessage: (delivery) => {
      options.onMessage?.(delivery)
      messages.push(delivery)
    },
    onLive: (message) => {
      options.onLive?.(message)
      live.push(message)
    },
    onState: (state) => states.push(state),
    onError: (error) => errors.push(error),
  })
  return { peer, messages, live, states, errors }
}

/** Lets time pass until something is so: what is forgotten, is so some time after it may be. */
export async function eventually(harness: BusHarness, isSo: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 1000; round += 1) {
    if (await isSo()) return
    await harness.advance?.(10_000)
  }
  assert.fail('it never came')
}

/** The operator of a harness that has one. */
export async function operatorOf(harness: BusHarness): Promise<Operator> {
  return (await harness.operator?.()) ?? assert.fail('this harness has no operator')
}

/** A payload. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** A payload's text. */
export function text(payload: Uint8Array): string {
  return new TextDecoder().decode(payload)
}

/** A note: a message of no meaning, whose payload is its id. */
export function note(
  to: string,
  id: string,
  more: { readonly control?: boolean; readonly kind?: string } = {},
): {
  readonly to: string
  readonly id: string
  readonly kind: string
  readonly payload: Uint8Array
  readonly control?: boolean
} {
  return { kind: 'note', ...more, to, id, payload: bytes(id) }
}

/** The ids of deliveries. */
export function idsOf(deliveries: readonly Delivery[]): string[] {
  return deliveries.map((delivery) => delivery.id)
}
