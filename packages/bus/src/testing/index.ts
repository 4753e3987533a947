/**
 * For whoever implements the bus port, or tests on it: the contract suite, time and chance of a test's own, a bus that is
 * looked into, and a proxy that loses connections.
 *
 * @packageDocumentation
 */
export type { BusCase, BusControl, BusHarness, BusSettings } from './bus-case.ts'
export { applicable, busContract } from './contract.ts'
export { createFaultyProxy, type FaultyProxy, type FaultyProxyOptions } from './faulty-proxy.ts'
export { createManualClock, settle, type ManualClock, type PendingTimer } from './manual-clock.ts'
export { observeBus, type BusObserver, type LiveOutgoing } from './observed-bus.ts'
export { peerWith, type PeerActs } from './peer-with.ts'
export { createSeededRandom } from './seeded-random.ts'
