/** A bus that does some things otherwise: what mutations are made of. */
import { peerWith, type PeerActs } from '@greenroom/bus/testing'
import type { Bus, Delivery, LiveMessage, Peer, PeerOptions } from '@greenroom/proto'

/** A bus whose peers send otherwise. */
export function sending(bus: Bus, otherwise: (send: Peer['send']) => Peer['send']): Bus {
  return {
    ...busWith(bus, {}),
    async attach(options: PeerOptions) {
      const peer = await bus.attach(options)
      return peerWith(peer, { send: otherwise((message, options) => peer.send(message, options)) })
    },
  }
}

/** A bus whose peers do some things otherwise. */
export function busWith(
  bus: Bus,
  otherwise: PeerActs,
  onDelivery: (delivery: Delivery) => Delivery = (delivery) => delivery,
  onLive: (message: LiveMessage) => LiveMessage = (message) => message,
): Bus {
  return {
    get capabilities() {
      return bus.capabilities
    },
    async attach(options: PeerOptions) {
      const peer = await bus.attach({
        ...options,
        onMessage: (delivery) => options.onMessage?.(onDelivery(delivery)),
        onLive: (message) => options.onLive?.(onLive(message)),
      })
      return peerWith(peer, otherwise)
    },
    close: () => bus.close(),
    [Symbol.asyncDispose]: () => bus.close(),
  }
}
