/** A bus that the checker looks into: what was receipted, delivered, acked, claimed and taken back. */
import { peerWith } from '@greenroom/bus/testing'
import type { Bus, Delivery, Peer } from '@greenroom/proto'
import type { Checker } from './checker.ts'
import type { Trace } from './trace.ts'

/**
 * Puts the checker between a client and whoever uses it.
 *
 * @param bus - the real client
 * @param onFenced - called when its owner is told that its life is over
 */
export function watchBus(bus: Bus, checker: Checker, trace: Trace, onFenced: () => void): Bus {
  return {
    get capabilities() {
      return bus.capabilities
    },
    async attach(options) {
      const { address, onMessage } = options
      const peer = await bus.attach({
        ...options,
        onMessage: (delivery) => onMessage?.(watchDelivery(delivery, address, checker, trace)),
      })
      trace.add(`attached ${address}`)
      void peer.closed.then(({ code }) => code === 'FENCED' && onFenced())
      return watchPeer(peer, checker, trace)
    },
    close: () => bus.close(),
    [Symbol.asyncDispose]: () => bus.close(),
  }
}

function watchDelivery(delivery: Delivery, to: string, checker: Checker, trace: Trace): Delivery {
  const { id, kind, seq, attempt } = delivery
  trace.add(`deliver ${kind} ${id} to ${to}, attempt ${attempt}`)
  if (attempt === 1 && checker.isNew(to, id)) checker.inOrder(to, laneOf(kind, id), seq)
  checker.delivered(to, id)
  const acked = (promise: Promise<void>): Promise<void> => {
    promise.then(
      () => checker.acked(to, id),
      () => undefined,
    )
    return promise
  }
  return {
    id,
    kind,
    seq,
    attempt,
    from: delivery.from,
    fromIncarnation: delivery.fromIncarnation,
    at: delivery.at,
    payload: delivery.payload,
    ack: () => acked(delivery.ack()),
    touch: () => delivery.touch(),
    nack: (options) => delivery.nack(options),
    async claim() {
      await delivery.claim()
      trace.add(`claimed ${id}`)
      checker.claimed(to, id)
    },
  }
}

/** The lanes of one mailbox: control overtakes data. */
function laneOf(kind: string, id: string): 'control' | 'data' {
  const isData = ['run', 'history', 'events'].includes(kind) || /^(?:marker|orphan-\d+)-data-/.test(id)
  return isData ? 'data' : 'control'
}

function watchPeer(peer: Peer, checker: Checker, trace: Trace): Peer {
  return peerWith(peer, {
    async send(message, options) {
      if (message.ttlMs !== undefined) checker.mayExpire(message.to, message.id)
      const receipt = await peer.send(message, options)
      trace.add(`receipt ${message.kind} ${message.id} to ${message.to}`)
      checker.receipted(message.to, message.id, receipt.seq)
      return receipt
    },
    async revoke(message, options) {
      const answer = await peer.revoke(message, options)
      trace.add(`revoke ${message.id} is ${answer}`)
      checker.revoked(message.to, message.id, answer)
      return answer
    },
    watch: (role, listener) =>
      peer.watch(role, (change) => {
        trace.add(`presence ${change.address} ${change.state}`)
        listener(change)
      }),
  })
}
