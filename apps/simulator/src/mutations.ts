/**
 * Mutations: promises that are broken on purpose, behind a seam, one at a time. A simulator that does not notice one of them
 * proves nothing about it.
 */
import {
  decodeMessage,
  encodeMessage,
  type Bus,
  type Delivery,
  type LiveMessage,
  type Peer,
  type PeerOptions,
} from '@greenroom/proto'
import type { Operation, Store } from '@greenroom/store'
import type { InProcessLaunched } from '@greenroom/worker/testing'
import { storeWith } from './tampered-store.ts'

/** A broken promise. */
export interface Mutation {
  readonly name: string
  /** What is broken. */
  readonly says: string
  /** `life`: which one of the runner. */
  readonly bus?: (bus: Bus, who: 'runner' | 'worker', life: number) => Bus
  readonly store?: (store: Store, whose: 'broker' | 'runner', life: number) => Store
  readonly launched?: (launched: InProcessLaunched) => InProcessLaunched
}

const puts =
  (collection: string, ...states: readonly string[]) =>
  (operation: Operation): boolean =>
    'put' in operation &&
    operation.put === collection &&
    (states.length === 0 || states.some((state) => state === operation.meta['state']))

/** All of them. */
export const mutations: readonly Mutation[] = [
  {
    name: 'no-fence',
    says: 'who saw a worker end does not declare it gone',
    bus: (bus, who) => (who === 'worker' ? bus : busWith(bus, { fence: async () => undefined })),
  },
  {
    name: 'no-claim',
    says: 'a worker executes before its claim is confirmed',
    bus: (bus, who) => (who === 'worker' ? busWith(bus, {}, claimUnasked) : bus),
  },
  {
    name: 'no-proof',
    says: 'a run is tried again though nobody took it back from its worker',
    bus: (bus, who) => (who === 'worker' ? bus : busWith(bus, { revoke: async () => 'withdrawn' })),
  },
  {
    name: 'no-end',
    says: 'a worker counts as dead before its process has ended',
    launched: (launched) => {
      const seen = Promise.withResolvers<Awaited<InProcessLaunched['exited']>>()
      void launched.exited.then(seen.resolve)
      return {
        stdin: launched.stdin,
        stderr: launched.stderr,
        exited: seen.promise,
        kill: (signal) => {
          if (signal === 'SIGTERM') launched.kill(signal)
          else seen.resolve({ code: null, signal })
        },
      }
    },
  },
  ...(
    [
      ['send', puts('message')],
      ['ack', puts('receipt', 'acked')],
      ['claim', puts('receipt', 'claimed')],
      ['revoke', puts('receipt', 'withdrawn', 'revoked')],
    ] as const
  ).map(([what, matches]): Mutation => ({
    name: `early-${what}`,
    says: `the broker confirms a ${what} before its commit`,
    store: (store, whose) => (whose === 'broker' ? early(store, matches) : store),
  })),
  {
    name: 'early-entry',
    says: 'the runner acknowledges entries before their commit',
    store: (store, whose) => (whose === 'runner' ? early(store, puts('entry')) : store),
  },
  {
    name: 'early-outcome',
    says: 'the runner gives an outcome out before its commit',
    store: (store, whose) => (whose === 'runner' ? early(store, puts('outcome')) : store),
  },
  {
    name: 'no-receipts',
    says: 'the broker forgets what it has already seen',
    store: (store, whose) =>
      whose === 'runner'
        ? store
        : storeWith(store, { get: (name, key) => (name === 'receipt' ? undefined : store.get(name, key)) }),
  },
  {
    name: 'no-numbers',
    says: 'the runner takes events as they come, without a look at their numbers',
    bus: (bus, who) => (who === 'worker' ? bus : busWith(bus, {}, undefined, renumber())),
  },
]

/** A store that says "committed" before it has committed, for some batches. */
function early(store: Store, matches: (operation: Operation) => boolean): Store {
  return storeWith(store, {
    commit: (batch, options) => {
      const committed = store.commit(batch, options)
      if (!batch.some(matches)) return committed
      committed.catch(() => undefined)
      return Promise.resolve()
    },
  })
}

function claimUnasked(delivery: Delivery): Delivery {
  return {
    id: delivery.id,
    kind: delivery.kind,
    seq: delivery.seq,
    attempt: delivery.attempt,
    from: delivery.from,
    fromIncarnation: delivery.fromIncarnation,
    at: delivery.at,
    payload: delivery.payload,
    ack: () => delivery.ack(),
    nack: (options) => delivery.nack(options),
    claim: () => {
      delivery.claim().catch(() => undefined)
      return Promise.resolve()
    },
  }
}

/** Gives each batch of events the numbers that are due. */
function renumber(): (message: LiveMessage) => LiveMessage {
  const counts = new Map<string, number>()
  return (message) => {
    if (message.kind !== 'events') return message
    const events = decodeMessage('events', message.payload)
    const key = `${events.runId} ${events.epoch}`
    const count = counts.get(key) ?? 0
    counts.set(key, count + events.events.length)
    return { ...message, payload: encodeMessage('events', { ...events, first: count + 1 }) }
  }
}

/** A bus whose peers do some things otherwise. */
function busWith(
  bus: Bus,
  otherwise: Partial<Pick<Peer, 'fence' | 'revoke'>>,
  onDelivery: (delivery: Delivery) => Delivery = (delivery) => delivery,
  onLive: (message: LiveMessage) => LiveMessage = (message) => message,
): Bus {
  return {
    capabilities: bus.capabilities,
    async attach(options: PeerOptions) {
      const peer = await bus.attach({
        ...options,
        onMessage: (delivery) => options.onMessage?.(onDelivery(delivery)),
        onLive: (message) => options.onLive?.(onLive(message)),
      })
      return {
        address: peer.address,
        incarnation: peer.incarnation,
        closed: peer.closed,
        get state() {
          return peer.state
        },
        send: (message, waiting) => peer.send(message, waiting),
        publish: (message) => peer.publish(message),
        revoke: (message, waiting) => peer.revoke(message, waiting),
        announce: (presence) => peer.announce(presence),
        watch: (role, listener) => peer.watch(role, listener),
        fence: (target, waiting) => peer.fence(target, waiting),
        drain: () => peer.drain(),
        close: () => peer.close(),
        [Symbol.asyncDispose]: () => peer.drain(),
        ...otherwise,
      }
    },
    close: () => bus.close(),
    [Symbol.asyncDispose]: () => bus.close(),
  }
}
