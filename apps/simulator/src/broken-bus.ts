/** A bus that does some things otherwise: what mutations are made of. */
import type { Bus, Delivery, LiveMessage, Peer, PeerOptions } from '@greenroom/proto'

/** A bus whose peers send otherwise. */
export function sending(bus: Bus, otherwise: (send: Peer['send']) => Peer['send']): Bus {
  return {
    ...busWith(bus, {}),
    async attach(options: PeerOptions) {
      const peer = await bus.attach(options)
      return { ...peerWith(peer, {}), send: otherwise((message, waiting) => peer.send(message, waiting)) }
    },
  }
}

/** A bus whose peers do some things otherwise. */
export function busWith(
  bus: Bus,
  otherwise: Partial<Pick<Peer, 'fence' | 'revoke'>>,
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

/** A peer that does some things otherwise. */
export function peerWith(peer: Peer, otherwise: Partial<Pick<Peer, 'fence' | 'revoke'>>): Peer {
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
}
