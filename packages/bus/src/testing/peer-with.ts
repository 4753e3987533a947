import type { Peer } from '@greenroom/proto'

/** What a peer may do otherwise. */
export type PeerActs = Partial<Pick<Peer, 'send' | 'publish' | 'revoke' | 'watch' | 'fence'>>

/**
 * A peer that does some things otherwise.
 *
 * @param peer - does all else
 * @param otherwise - what, and how
 */
export function peerWith(peer: Peer, otherwise: PeerActs): Peer {
  return {
    address: peer.address,
    incarnation: peer.incarnation,
    closed: peer.closed,
    get state() {
      return peer.state
    },
    send: (message, options) => peer.send(message, options),
    publish: (message) => peer.publish(message),
    revoke: (message, options) => peer.revoke(message, options),
    announce: (presence) => peer.announce(presence),
    watch: (role, listener) => peer.watch(role, listener),
    fence: (target, options) => peer.fence(target, options),
    drain: () => peer.drain(),
    close: () => peer.close(),
    [Symbol.asyncDispose]: () => peer.drain(),
    ...otherwise,
  }
}
