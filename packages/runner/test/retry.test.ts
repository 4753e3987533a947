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
const lost = { outcome: failed('later'), claimed: false, blameless: 'lost' } as const
const again = { outcome: failed('later'), claimed: false } as const

describe('retry', () => {
  test('by default what was withdrawn is tried once more at once, and then never', () => {
    const retry = new Retry({}, false, random)
    expect(retry.after(lost)).toBe(0)
    expect(retry.after(lost)).toBeUndefined()
  })

  test('a refusal is no attempt: another worker is asked, but not for ever', () => {
    const retry = new Retry({}, false, random)
    const refused = { outcome: failed('later'), claimed: false, blameless: 'refused' } as const
    for (let n = 0; n < maxRefusals; n += 1) expect(retry.after(refused)).toBe(0)
    expect(retry.after(refused)).toBeUndefined()
  })

  test('pauses double up to the longest one', () => {
    const retry = new Retry({ attempts: 5, backoffMs: 100, maxBackoffMs: 300 }, false, random)
    expect([1, 2, 3, 4, 5].map(() => retry.after(again))).toEqual([100, 200, 300, 300, undefined])
  })

  test('what was claimed is tried again only when the run is idempotent', () => {
    const claimed = { outcome: failed('later'), claimed: true }
    expect(new Retry({ attempts: 3 }, false, random).after(claimed)).toBeUndefined()
    expect(new Retry({ attempts: 3 }, true, random).after(claimed)).toBe(1_000)
  })

  test('a run that no worker took in time may find one later', () => {
    const outcome: Outcome = { status: 'timeout', which: 'accept' }
    expect(new Retry({ attempts: 2 }, false, random).after({ outcome, claimed: false })).toBe(1_000)
  })

  test.each<[string, Outcome]>([
    ['may still run', failed('later', { mayStillRun: true })],
    ['cannot help', failed('never')],
    ['completed', { status: 'completed', output: null, text: '' }],
    ['was cancelled', { status: 'cancelled', reason: '' }],
    ['timed out', { status: 'timeout', which: 'total' }],
  ])('what %s is not tried again', (_what, outcome) => {
    expect(new Retry({ attempts: 3 }, true, random).after({ outcome, claimed: true })).toBeUndefined()
  })
})
