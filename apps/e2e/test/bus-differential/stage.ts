/** A bus, some peers on it, and a diary of all that each of them was told. */
import { codeOf, type Bus, type Delivery, type Peer } from '@greenroom/proto'
import type { ManualClock } from '@greenroom/bus/testing'

/** Something that is done to a bus. Numbers choose among what is there, and wrap around. */
export type Deed =
  | { readonly do: 'attach'; readonly address: string; readonly life: number; readonly credit: number }
  | {
      readonly do: 'send'
      readonly by: number
      readonly to: string
      readonly id: string
      readonly text: string
      readonly control: boolean
      readonly ttlMs: number | undefined
      readonly kind: string
    }
  | { readonly do: 'publish'; readonly by: number; readonly to: string }
  | { readonly do: 'revoke'; readonly by: number; readonly to: string; readonly id: string }
  | { readonly do: 'ack' | 'claim' | 'nack' | 'nack later'; readonly by: number; readonly delivery: number }
  | { readonly do: 'fence'; readonly by: number; readonly address: string; readonly life: number }
  | { readonly do: 'announce'; readonly by: number; readonly role: string }
  | { readonly do: 'watch'; readonly by: number; readonly role: string }
  | { readonly do: 'drain' | 'close'; readonly by: number }
  | { readonly do: 'wait'; readonly ms: number }

interface Actor {
  readonly name: string
  readonly peer: Peer
  readonly deliveries: Delivery[]
}

const decoder = new TextDecoder()
const encoder = new TextEncoder()

/** See the head of this file. */
export class Stage {
  readonly #bus: Bus
  readonly #clock: ManualClock
  readonly #actors: Actor[] = []
  readonly #diaries = new Map<string, readonly string[]>()

  constructor(bus: Bus, clock: ManualClock) {
    this.#bus = bus
    this.#clock = clock
  }

  /** Does it, waits until all is quiet, and says what came of it. */
  async act(deed: Deed): Promise<string> {
    if (deed.do === 'wait') return this.#wait(deed.ms)
    const done = this.#do(deed).catch((error: unknown) => `refused: ${codeOf(error) ?? String(error)}`)
    await quiet()
    return Promise.race([done, Promise.resolve('pending')])
  }

  /** What every peer was told so far: by peer, and about others by role and address, for these are told in any order. */
  get diaries(): Record<string, readonly string[]> {
    return Object.fromEntries(this.#diaries)
  }

  #note(diary: string, line: string): void {
    this.#diaries.set(diary, [...(this.#diaries.get(diary) ?? []), line])
  }

  /** In steps: what becomes due has to reach the peers before the next does. */
  async #wait(ms: number): Promise<string> {
    for (let step = 0; step < 4; step += 1) {
      this.#clock.jump(ms / 4)
      await quiet()
    }
    return 'waited'
  }

  async #do(deed: Exclude<Deed, { do: 'wait' }>): Promise<string> {
    if (deed.do === 'attach') return this.#attach(deed)
    // The latest few: who came before has mostly left.
    const present = this.#actors.slice(-4)
    const actor = present[deed.by % Math.max(present.length, 1)]
    return actor === undefined ? 'nobody' : this.#doAs(actor, deed)
  }

  async #doAs({ name, peer, deliveries }: Actor, deed: Exclude<Deed, { do: 'attach' | 'wait' }>): Promise<string> {
    switch (deed.do) {
      case 'send': {
        const { to, id, kind, control, ttlMs, text } = deed
        const payload = encoder.encode(text)
        const receipt = await peer.send({ to, id, kind, control, payload, ...(ttlMs === undefined ? {} : { ttlMs }) })
        return `${receipt.seq}${receipt.duplicate ? ' again' : ''}`
      }
      case 'publish':
        return String(peer.publish({ to: deed.to, kind: 'live', payload: encoder.encode('hello') }))
      case 'revoke':
        return peer.revoke({ to: deed.to, id: deed.id })
      case 'fence':
        // Whether one lives to see the answer to one's own end is nobody's promise.
        if (peer.incarnation === lifeOf(deed.address, deed.life)) return 'never oneself'
        await peer.fence({ address: deed.address, incarnation: lifeOf(deed.address, deed.life) })
        return 'fenced'
      case 'announce':
        peer.announce({ role: deed.role })
        return 'announced'
      case 'watch':
        peer.watch(deed.role, ({ address, incarnation, state }) => {
          if (incarnation !== peer.incarnation)
            this.#note(`${name} about ${deed.role} at ${address}`, `${incarnation} ${state}`)
        })
        return 'watching'
      case 'drain':
        await peer.drain()
        return 'drained'
      case 'close':
        await peer.close()
        return 'closed'
      default: {
        const delivery = deliveries[deed.delivery % Math.max(deliveries.length, 1)]
        return delivery === undefined ? 'nothing' : settle(delivery, deed.do)
      }
    }
  }

  async #attach({ address, life, credit }: Extract<Deed, { do: 'attach' }>): Promise<string> {
    const name = `${lifeOf(address, life)} #${this.#actors.length + 1}`
    const note = (line: string): void => this.#note(name, line)
    const deliveries: Delivery[] = []
    const peer = await this.#bus.attach({
      address,
      incarnation: lifeOf(address, life),
      lifetime: address.startsWith('worker') ? 'incarnation' : 'named',
      credit,
      controlCredit: 1,
      presence: { role: 'actor' },
      onMessage: (delivery) => {
        deliveries.push(delivery)
        const { kind, id, seq, attempt, from, fromIncarnation, payload } = delivery
        const known = kind === 'undeliverable' ? 'an id of the broker' : id
        note(`${kind} ${known} ${seq} attempt ${attempt} from ${from} ${fromIncarnation}: ${decoder.decode(payload)}`)
      },
      onLive: ({ kind, from, fromIncarnation }) => note(`${kind} from ${from} ${fromIncarnation}`),
    })
    void peer.closed.then(({ code }) => note(`closed: ${code}`))
    this.#actors.push({ name, peer, deliveries })
    return 'attached'
  }
}

async function settle(delivery: Delivery, how: 'ack' | 'claim' | 'nack' | 'nack later'): Promise<string> {
  if (how === 'ack') await delivery.ack()
  else if (how === 'claim') await delivery.claim()
  else await delivery.nack({ delayMs: how === 'nack' ? 0 : 500 })
  return how
}

function lifeOf(address: string, life: number): string {
  return `${address}-${life}`
}

/** Lets everything happen that waits for nothing but its turn. */
async function quiet(): Promise<void> {
  for (let turn = 0; turn < 12; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}
