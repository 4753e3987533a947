/**
 * Mutations: promises that are broken on purpose, behind a seam, one at a time. A simulator that does not notice one of them
 * proves nothing about it.
 */
import { peerWith } from '@greenroom/bus/testing'
import {
  decodeMessage,
  encodeMessage,
  type Bus,
  type Clock,
  type Delivery,
  type LiveMessage,
  type PeerOptions,
} from '@greenroom/proto'
import { busWith, sending } from './broken-bus.ts'
import { budgetMutations } from './budget-mutations.ts'
import { childMutations } from './child-mutations.ts'
import { storeWith, type Operation, type Store, type StoredRecord } from '@greenroom/store'
import type { InProcessLaunched } from '@greenroom/worker/testing'
import { talkMutations } from './talk-mutations.ts'
import type { QueueBounds } from './queues.ts'
import type { Aim, Generation } from './world.ts'

/** Whose a client of the broker is. */
export type Who = 'runner' | 'worker' | 'detached' | 'queue'

/** A broken promise. */
export interface Mutation {
  readonly name: string
  /** What is broken. */
  readonly says: string
  /** Only who asks for approvals can notice it. */
  readonly isOfApprovals?: true
  /** Only who has children can notice it. */
  readonly isOfChildren?: true
  /** Only whose tree has a budget can notice it. */
  readonly isOfBudgets?: true
  /** Only where runs are asked, and ancestors decide, it can be noticed. */
  readonly isOfTalk?: true
  /** `life`: which one of the runner. */
  readonly bus?: (bus: Bus, who: Who, life: number) => Bus
  readonly store?: (store: Store, whose: 'broker' | 'runner', life: number) => Store
  /** What the broker is told in place of what it should be. */
  readonly broker?: Partial<QueueBounds>
  readonly launched?: (launched: InProcessLaunched) => InProcessLaunched
  /** Breaks the product itself, for all schedules until it is disposed of. */
  readonly patch?: (clock: Clock) => Disposable
}

/**
 * The schedules in which a mutation is looked for: without approvals and children, unless it is about them, since who waits
 * for people is seldom just then at what is broken.
 */
export function placeOf({ isOfApprovals, isOfChildren, isOfBudgets, isOfTalk }: Mutation): {
  readonly generation?: Generation
  readonly aim?: Aim
} {
  if (isOfTalk === true) return { aim: 'talk' }
  if (isOfBudgets === true) return { aim: 'budgets', generation: 8 }
  if (isOfChildren === true) return { aim: 'children', generation: 7 }
  return isOfApprovals === true ? { aim: 'approvals', generation: 6 } : { generation: 5 }
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
    bus: (bus, who) => (who !== 'runner' ? bus : busWith(bus, { fence: async () => undefined })),
  },
  {
    name: 'no-claim',
    says: 'a worker executes before its claim is confirmed',
    bus: (bus, who) => (isWorker(who) ? busWith(bus, {}, claimUnasked) : bus),
  },
  {
    name: 'no-proof',
    says: 'a run is tried again though nobody took it back from its worker',
    bus: (bus, who) => (who !== 'runner' ? bus : busWith(bus, { revoke: async () => 'withdrawn' })),
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
    name: 'early-question',
    says: 'the runner shows an approval before it is registered',
    isOfApprovals: true,
    store: (store, whose) => (whose === 'runner' ? early(store, puts('approval')) : store),
  },
  {
    name: 'early-decision',
    says: 'the runner delivers a decision before its record is committed',
    isOfApprovals: true,
    store: (store, whose) => (whose === 'runner' ? early(store, puts('decision')) : store),
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
    bus: (bus, who) => (who !== 'runner' ? bus : busWith(bus, {}, undefined, renumber())),
  },
  {
    name: 'deaf-to-fence',
    says: 'a worker ignores that it was fenced, and goes on as another incarnation',
    bus: (bus, who) => (isWorker(who) ? undead(bus) : bus),
  },
  {
    name: 'resume-no-proof',
    says: 'a next life of the runner does again what nobody took back from its worker',
    bus: (bus, who, life) => (who === 'runner' && life > 1 ? busWith(bus, { revoke: async () => 'withdrawn' }) : bus),
  },
  {
    name: 'resume-no-attempts',
    says: 'a next life of the runner does not look at what was tried',
    store: (store, whose, life) =>
      whose === 'runner' && life > 1
        ? { ...storeWith(store, {}), scan: (name, range) => (name === 'attempt' ? [] : store.scan(name, range)) }
        : store,
  },
  {
    name: 'resume-forgets',
    says: 'a next life of the runner does not see what is open',
    store: (store, whose, life) =>
      whose === 'runner' && life > 1
        ? {
            ...storeWith(store, { get: (name, key) => (name === 'open' ? undefined : store.get(name, key)) }),
            scan: (name, range) => (name === 'open' ? [] : store.scan(name, range)),
          }
        : store,
  },
  {
    name: 'no-take-over',
    says: 'a next life of the runner takes a detached attempt for an ordinary one',
    store: (store, whose, life) =>
      whose === 'runner' && life > 1
        ? {
            ...storeWith(store, {}),
            scan: (name, range) => store.scan(name, range).map(name === 'attempt' ? ordinary : (record) => record),
          }
        : store,
  },
  {
    name: 'no-last-word',
    says: 'a detached worker leaves before its last word is stored',
    bus: (bus, who) => (who === 'detached' ? wordless(bus) : bus),
  },
  { name: 'no-letters', says: 'poison comes again for ever', broker: { maxAttempts: 1_000 } },
  { name: 'no-quota', says: 'a mailbox takes more than it may', broker: { mailboxMessages: 1_000 } },
  {
    name: 'no-delay',
    says: 'what is given back for a while comes at once',
    bus: (bus, who) => (who === 'queue' ? busWith(bus, {}, nackAtOnce) : bus),
  },
  {
    name: 'no-ttl',
    says: 'a message is delivered after its time',
    bus: (bus, who) => (who === 'queue' ? immortal(bus) : bus),
  },
  ...childMutations,
  ...budgetMutations,
  ...talkMutations,
]

function isWorker(who: Who): boolean {
  return who === 'worker' || who === 'detached'
}

/** An attempt's record without a word that its worker outlives its runner. */
function ordinary(record: StoredRecord): StoredRecord {
  const { detached: _detached, ...meta } = record.meta
  return { ...record, meta }
}

/** A bus whose peers come back under another name when their life is over. */
function undead(bus: Bus): Bus {
  return {
    ...busWith(bus, {}),
    async attach(options: PeerOptions) {
      let peer = await bus.attach(options)
      const closed = peer.closed.then(async (end) => {
        if (end.code !== 'FENCED') return end
        const { address, incarnation } = options
        try {
          peer = await bus.attach({ ...options, address: `${address}-again`, incarnation: `${incarnation}-again` })
        } catch {
          return end
        }
        return peer.closed
      })
      return { ...peerWith(peer, {}), closed, send: (...to) => peer.send(...to), publish: (live) => peer.publish(live) }
    },
  }
}

function nackAtOnce(delivery: Delivery): Delivery {
  return { ...claimless(delivery), claim: () => delivery.claim(), nack: () => delivery.nack() }
}

/** A bus that forgets how long messages live. */
function immortal(bus: Bus): Bus {
  return sending(
    bus,
    (send) =>
      ({ ttlMs: _ttlMs, ...message }, waiting) =>
        send(message, waiting),
  )
}

/** A bus that says of last words that they are stored, and stores none. */
function wordless(bus: Bus): Bus {
  return sending(
    bus,
    (send) => (message, waiting) =>
      message.kind === 'terminal' ? Promise.resolve({ seq: 1, duplicate: false }) : send(message, waiting),
  )
}

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
    ...claimless(delivery),
    claim: () => {
      delivery.claim().catch(() => undefined)
      return Promise.resolve()
    },
  }
}

/** A delivery as a plain object, but for its claim. */
function claimless(delivery: Delivery): Omit<Delivery, 'claim'> {
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
    touch: () => delivery.touch(),
    nack: (options) => delivery.nack(options),
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
