import type { Outcome } from '@greenroom/proto'
import { describe, expect, test } from 'vitest'
import { maxRefusals, Retry } from '../src/retry.ts'

const random = { fraction: () => 1, id: () => 'id' }
const failed = (retry: 'never' | 'later', more = {}): Outcome => ({
  status: 'failed',
  code: 'WORKER_LOST',
  message: '',
  retry,
  ...more,
})
const again = { outcome: failed('later'), claimed: false, idempotent: false, mayStillRun: false } as const
const lost = { ...again, blameless: 'lost' } as const

describe('retry', () => {
  test('by default what was withdrawn is tried once more at once, and then never', () => {
    const retry = new Retry({}, random)
    expect(retry.after(lost)).toBe(0)
    expect(retry.after(lost)).toBeUndefined()
    // It is none of the attempts that a role has.
    const more = new Retry({ attempts: 2, backoffMs: 100 }, random)
    expect([lost, again, again].map((tried) => more.after(tried))).toEqual([0, 100, undefined])
  })

  test('a refusal is no attempt: another worker is asked, but not for ever', () => {
    const retry = new Retry({}, random)
    const refused = { ...again, blameless: 'refused' } as const
    for (let n = 0; n < maxRefusals; n += 1) expect(retry.after(refused)).toBe(0)
    expect(retry.after(refused)).toBeUndefined()
  })

  test('pauses double up to the longest one', () => {
    const retry = new Retry({ attempts: 5, backoffMs: 100, maxBackoffMs: 300 }, random)
    expect([1, 2, 3, 4, 5].map(() => retry.after(again))).toEqual([100, 200, 300, 300, undefined])
  })

  test('what was claimed is tried again only when the run is idempotent', () => {
    const claimed = { ...again, claimed: true }
    expect(new Retry({ attempts: 3 }, random).after(claimed)).toBeUndefined()
    expect(new Retry({ attempts: 3 }, random).after({ ...claimed, idempotent: true })).toBe(1_000)
  })

  test('a run that no worker took in time may find one later', () => {
    const outcome: Outcome = { status: 'timeout', which: 'accept' }
    expect(new Retry({ attempts: 2 }, random).after({ ...again, outcome })).toBe(1_000)
  })

  test.each(['first-event', 'no-progress', 'tool'] as const)('a hanging %s may go better the next time', (which) => {
    const outcome: Outcome = { status: 'timeout', which }
    const claimed = { ...again, outcome, claimed: true }
    expect(new Retry({ attempts: 2 }, random).after(claimed)).toBeUndefined()
    expect(new Retry({ attempts: 2 }, random).after({ ...claimed, idempotent: true })).toBe(1_000)
  })

  test.each<[string, Outcome, boolean]>([
    ['may still run', failed('later'), true],
    ['timed out and may still run', { status: 'timeout', which: 'tool' }, true],
    ['cannot help', failed('never'), false],
    ['completed', { status: 'completed', output: null, text: '' }, false],
    ['was cancelled', { status: 'cancelled', reason: '' }, false],
    ['timed out', { status: 'timeout', which: 'total' }, false],
  ])('what %s is not tried again', (_what, outcome, mayStillRun) => {
    const tried = { outcome, claimed: true, idempotent: true, mayStillRun }
    expect(new Retry({ attempts: 3 }, random).after(tried)).toBeUndefined()
  })
})
