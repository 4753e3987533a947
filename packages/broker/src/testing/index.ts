/**
 * For the simulator: a broker whose connections are made by hand.
 *
 * @packageDocumentation
 */
export type { Transport } from '../outlet.ts'
export { createWiredBroker, type Wire, type WiredBroker, type WiredBrokerStats } from './wired-broker.ts'
