/** A bus that is looked into, between a client and the real one. */
import type { Bus, Delivery, Peer, PeerOptions } from '@greenroom/proto'
import { peerWith } from './peer-with.ts'

/** What {@link observeBus} calls. */
export interface BusObserver {
  /**
   * Called at each step of a peer, before anything else comes of it: `attach`, `got run`, `claim` and `claim done`,
   * `send terminal` and `send terminal done`, `publish events`, with whichever kind.
   */
  readonly onStep?: (name: string) => void
  /** Called with each peer that has attached, before its owner has it. */
  readonly onAttached?: (peer: Peer) => void
  /** Called in place of each {@link Peer.publish}; `pass` does it, as often as it is called. */
  readonly publish?: (message: LiveOutgoing, pass: () => boolean) => boolean
}

/** What {@link Peer.publish} takes. */
export type LiveOutgoing = Parameters<Peer['publish']>[0]

/**
 * Puts an observer between a client and its bus: to see each step, and to do harm at it.
 *
 * @param bus - the real one
 * @param observer - see {@link BusObserver}
 */
export function observeBus(bus: Bus, observer: BusObserver): Bus {
  const step = (name: string): void => observer.onStep?.(name)
  return {
    get capabilities() {
      return bus.capabilities
    },
    async attach(options: PeerOptions) {
      step('attach')
      const { onMessage } = options
      const peer = await bus.attach({
        ...options,
        onMessage: (delivery) => {
          step(`got ${delivery.kind}`)
          onMessage?.(observedDelivery(delivery, step))
        },
      })
      observer.onAttached?.(peer)
      return observedPeer(peer, step, observer)
    },
    close: () => bus.close(),
    [Symbol.asyncDispose]: () => bus.close(),
  }
}

async function around<T>(name: string, step: (name: string) => void, call: () => Promise<T>): Promise<T> {
  step(name)
  const result = await call()
  step(`${name} done`)
  return result
}

function observedDelivery(delivery: Delivery, step: (name: string) => void): Delivery {
  return {
    ...delivery,
    ack: () => delivery.ack(),
    nack: (options) => delivery.nack(options),
    claim: () => around('claim', step, () => delivery.claim()),
    touch: () => delivery.touch(),
  }
}

function observedPeer(peer: Peer, step: (name: string) => void, { publish }: BusObserver): Peer {
  return peerWith(peer, {
    send: (message, options) => around(`send ${message.kind}`, step, () => peer.send(message, options)),
    publish: (message) => {
      step(`publish ${message.kind}`)
      const pass = (): boolean => peer.publish(message)
      return publish === undefined ? pass() : publish(message, pass)
    },
  })
}
