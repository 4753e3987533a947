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
  lasting: 'steps',
  cancelled: 'steps',
  child: 'steps',
  program: 'program',
  again: 'again',
  flaky: 'flaky',
}

/**
 * How often each is drawn, how much it does (entries, and milliseconds between them, at most), and which part of it is
 * detached where that is possible.
 */
const shapes: Readonly<Record<Kind, readonly [weight: number, entries: number, everyMs: number, detached: number]>> = {
  short: [40, 2, 5, 0],
  stream: [20, 20, 25, 0.1],
  child: [10, 3, 20, 0.2],
  again: [10, 6, 100, 0.2],
  program: [8, 5, 80, 0.2],
  long: [6, 14, 400, 0.5],
  lasting: [6, 30, 600, 1],
  cancelled: [6, 10, 300, 0.3],
  flaky: [6, 2, 40, 0.1],
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

/** Draws whether a run of a kind is detached, where it can be. */
export function drawDetached(chance: Chance, kind: Kind): boolean {
  const [, , , detached] = shapes[kind]
  return chance.happens(detached)
}
