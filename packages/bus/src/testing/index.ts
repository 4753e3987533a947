/**
 * For whoever implements the bus port, or tests on it: the contract suite and a proxy that loses connections.
 *
 * @packageDocumentation
 */
export type { BusCase, BusControl, BusHarness } from './bus-case.ts'
export { applicable, busContract } from './contract.ts'
export { createFaultyProxy, type FaultyProxy, type FaultyProxyOptions } from './faulty-proxy.ts'
