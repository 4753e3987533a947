/** The roles of chaos, and which orders each kind of run is given. */
import type { Chance } from './chance.ts'
import { kinds, type Kind, type Order } from './ledger.ts'

/** The runner's roles. */
export const roles = {
  steps: { executor: 'steps' },
  program: { executor: 'program' },
  again: { executor: 'steps', idempotent: true, retry: { attempts: 5, backoffMs: 50, maxBackoffMs: 200 } },
  flaky: { executor: 'flaky', idempotent: true, retry: { attempts: 8, backoffMs: 20, maxBackoffMs: 100 } },
} as const

/** The role of each kind. */
export const roleOf: Readonly<Record<Kind, keyof typeof roles>> = {
  short: 'steps',
  stream: 'steps',
  long: 'steps',
  cancelled: 'steps',
  child: 'steps',
  program: 'program',
  again: 'again',
  flaky: 'flaky',
}

/** How often each is drawn, and how much it does: entries, and milliseconds between them. */
const shapes: Readonly<Record<Kind, readonly [weight: number, entries: number, everyMs: number]>> = {
  short: [40, 2, 5],
  stream: [20, 20, 25],
  child: [10, 3, 20],
  again: [10, 6, 100],
  program: [8, 5, 80],
  long: [6, 14, 400],
  cancelled: [6, 10, 300],
  flaky: [6, 2, 40],
}
const total = Object.values(shapes).reduce((sum, [weight]) => sum + weight, 0)

/** Draws a kind of run. */
export function drawKind(chance: Chance): Kind {
  let left = chance.fraction() * total
  return kinds.find((kind) => (left -= shapes[kind][0]) < 0) ?? 'short'
}

/** Draws what a run of a kind is to do. */
export function drawOrder(chance: Chance, kind: Kind, job: string): Order {
  const [, entries, everyMs] = shapes[kind]
  return { job, entries: chance.between(1, entries), everyMs: chance.between(0, everyMs) }
}
