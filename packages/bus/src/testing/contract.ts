/**
 * The contract of the bus port: P1 to P7 of `@greenroom/proto`, D1 to D10 and D12, the live lane and presence of PROTOCOL.md.
 *
 * `bus-case` what a case is · `durable-cases`, `claim-cases`, `life-cases`, `reconnect-cases`, `live-cases`,
 * `presence-cases`, `call-cases`, `quota-cases`, `window-cases`, `letter-cases`, `mailbox-cases`, `visibility-cases` the promises · `station` what a case sees of a peer
 */
import type { BusCapability } from '@greenroom/proto'
import type { BusCase, BusControl } from './bus-case.ts'
import { callCases } from './call-cases.ts'
import { claimCases } from './claim-cases.ts'
import { durableCases } from './durable-cases.ts'
import { letterCases } from './letter-cases.ts'
import { lifeCases } from './life-cases.ts'
import { liveCases } from './live-cases.ts'
import { mailboxCases } from './mailbox-cases.ts'
import { presenceCases } from './presence-cases.ts'
import { quotaCases } from './quota-cases.ts'
import { reconnectCases } from './reconnect-cases.ts'
import { visibilityCases } from './visibility-cases.ts'
import { windowCases } from './window-cases.ts'

/**
 * Every promise of the bus port, on `node:assert` and bound to no test runner; see {@link applicable}.
 *
 * @example
 * ```ts
 * import { createMemoryBus } from '@greenroom/bus'
 * import { busContract } from '@greenroom/bus/testing'
 *
 * for (const { name, needs, controls, run } of busContract) {
 *   if (needs !== undefined || controls !== undefined) continue
 *   await using bus = createMemoryBus()
 *   await run({ bus: async () => bus.client() })
 *   console.log(name)
 * }
 * ```
 */
export const busContract: readonly BusCase[] = [
  ...durableCases,
  ...claimCases,
  ...lifeCases,
  ...reconnectCases,
  ...liveCases,
  ...presenceCases,
  ...callCases,
  ...quotaCases,
  ...windowCases,
  ...letterCases,
  ...mailboxCases,
  ...visibilityCases,
]

/**
 * The cases that an implementation must pass.
 *
 * @param able - what its bus and its harness can do; nothing beyond the core by default
 */
export function applicable(
  able: { readonly capabilities?: Iterable<BusCapability>; readonly controls?: Iterable<BusControl> } = {},
): readonly BusCase[] {
  const capabilities = new Set(able.capabilities)
  const controls = new Set(able.controls)
  return busContract.filter(
    (one) =>
      (one.needs ?? []).every((name) => capabilities.has(name)) &&
      (one.controls ?? []).every((name) => controls.has(name)),
  )
}
