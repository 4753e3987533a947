/**
 * Greenroom's durable broker: stand-alone behind a socket, or inside a process.
 *
 * - `broker` puts it together · `options` what it is told
 * - `core` mailboxes over a store: `traffic` single messages, `ownership` whose a mailbox is, `courier` deliveries,
 *   `presence` who is there, `operator` and `dead-letters` for people, `quota`, `housekeeping`, `recovery`,
 *   `new-life` after a restore · `examination` of a data folder from outside
 * - `mailbox` one mailbox in memory · `turns` who may work on it now · `plan` a change · `ledger` the hand on the store ·
 *   `records` what stands in it
 * - `access` who may say what · `mint` what tokens are worth · `signed-token` how they are made and read
 * - `session` a connection's frames · `platform/server` its socket · `inprocess` the bus without one
 *
 * @packageDocumentation
 */
export { createBroker, type Broker, type BrokerStats } from './broker.ts'
export { examineData, type Finding } from './examination.ts'
export type { Counters } from './counters.ts'
export type { BrokerLimits, BrokerLogger, BrokerOptions, Certificate, Listen } from './options.ts'
export { brokerSchema } from './records.ts'
export {
  checkTokenKey,
  clockLeewayMs,
  keyIdOf,
  readToken,
  signToken,
  verifyToken,
  type TokenContent,
  type VerifiedToken,
} from './signed-token.ts'
