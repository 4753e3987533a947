/** The broker's core and sessions without a socket: whoever has it brings the connections, and decides what they carry. */
import { client, operator } from '../access.ts'
import { Mint } from '../mint.ts'
import { backUp } from '../platform/backup.ts'
import { Core } from '../core.ts'
import { resolveOptions, type BrokerOptions } from '../options.ts'
import { createMemoryStore } from '@greenroom/store'
import type { Transport } from '../outlet.ts'
import { brokerSchema } from '../records.ts'
import { Session } from '../session.ts'

/** The broker's end of a connection: what a transport tells it. */
export interface Wire {
  /** A binary message came. */
  receive(bytes: Uint8Array): void
  /** A ping was answered. */
  pong(): void
  /** What was handed over has been passed on. */
  drained(): void
  /** The connection is no more. */
  closed(): void
}

/** How things stand in a {@link WiredBroker}. */
export interface WiredBrokerStats {
  /** Connections that are not over. */
  readonly connections: number
  /** Mailboxes that somebody has or something is in. */
  readonly mailboxes: number
  /** Messages that wait or are held: kind, id and mailbox of each. */
  readonly messages: readonly string[]
  /** Incarnations that are connected, or may come back. */
  readonly owners: number
}

/** A broker whose connections are made by hand. */
export interface WiredBroker {
  /**
   * Gives a connection its session.
   *
   * @param transport - carries what the broker says
   * @param token - an operator's, or whatever. = a client's
   */
  accept(transport: Transport, token?: string): Wire
  /** How things stand now. */
  stats(): WiredBrokerStats
}

/**
 * Starts a broker without a listener. It is never closed: it ends with its clock and its store, as a process does.
 *
 * @param options - `listen` and the clients' token are not looked at
 * @throws GreenroomError `BAD_OPTIONS`
 */
export async function createWiredBroker(options: BrokerOptions): Promise<WiredBroker> {
  const resolved = resolveOptions(options)
  const { clock, limits, random, store = createMemoryStore({ schema: brokerSchema }) } = resolved
  const core = await Core.open({ ...resolved, store, backUp })
  const capabilities = ['durable', 'ttl', 'quotas', 'dead-letters', 'visibility', 'detached']
  const isOperator = (shown: string): boolean => shown === resolved.operatorToken
  // Nothing is signed here, so nothing is drawn for it.
  const keys = ['of no use: nobody signs or shows anything']
  const mint = new Mint({ clock, isClient: (shown) => !isOperator(shown), isOperator, keys })
  const host = { core, options: resolved, brokerId: random.id(), capabilities, mint }
  const sessions = new Set<Session>()
  const tick = (): void => {
    for (const session of sessions) session.tick()
    clock.timer(limits.pingMs, tick, { background: true })
  }
  clock.timer(limits.pingMs, tick, { background: true })
  return {
    accept(transport, token) {
      const session = new Session(transport, host, token !== undefined && isOperator(token) ? operator : client)
      sessions.add(session)
      return {
        receive: (bytes) => session.receive(bytes),
        pong: () => session.pong(),
        drained: () => session.drained(),
        closed: () => {
          sessions.delete(session)
          session.closed()
        },
      }
    },
    stats() {
      const mailboxes = [...core.registry]
      return {
        connections: sessions.size,
        mailboxes: core.registry.size,
        messages: mailboxes.flatMap(({ address, messages }) =>
          [...messages.values()].map(({ id, kind, place }) => `${kind} ${id} ${place} in ${address}`),
        ),
        owners: mailboxes.filter(({ owner }) => owner !== undefined).length,
      }
    },
  }
}
