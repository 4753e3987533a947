/**
 * The bus as its users meet it: a WebSocket client, a bus in one process, and the link that carries a run's events.
 *
 * - `connect` the client of a broker, `connect-operator` a person's, over the seam `socket` · `memory` the same rules over Maps, in one process
 * - `link-sender`, `link-receiver` the two ends of a run's event stream · `detached-sender` the worker's, when its runner may be away
 *
 * The port itself (`Bus`, `Peer`, `Delivery`, …) is in `@greenroom/proto`; the suite that every implementation of it
 * passes is `@greenroom/bus/testing`.
 *
 * @packageDocumentation
 */
export { openThreadedSocket } from './platform/threaded-socket.ts'
export { Backoff, type BackoffOptions } from './backoff.ts'
export { connectOperator, type ConnectedOperator, type ConnectOperatorOptions } from './connect-operator.ts'
export { connectBus, type ConnectedBus, type ConnectOptions } from './connect.ts'
export {
  createLinkReceiver,
  type LinkReceiver,
  type LinkReceiverCounters,
  type LinkReceiverOptions,
} from './link-receiver.ts'
export { createLinkSender, type LinkPeer, type LinkSender, type LinkSenderOptions } from './link-sender.ts'
export { createDetachedSender, type DetachedSenderOptions } from './detached-sender.ts'
export { createMemoryBus, type MemoryBus, type MemoryBusOptions, type MemoryBusStats } from './memory.ts'
export type { Socket, SocketEvents, SocketFactory, SocketFlaw, SocketTarget } from './socket.ts'
export type { TokenSource } from './token.ts'
