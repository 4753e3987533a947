/** What work leaves behind that keeps its process alive: timers, sockets, programs, watched files. */
import assert from 'node:assert/strict'
import { systemClock } from '@greenroom/proto'
import { pause } from '../pause.ts'

/** How often the work is done: what is made once and kept for all of it is no leak, and the test runner makes some too. */
const rounds = 3

/** How long what was let go of may take to be gone, in milliseconds. */
const settleMs = 2_000

/**
 * Does work a few times and waits until nothing is there any more that grew with each time.
 *
 * @param work - what is to leave nothing behind
 * @throws AssertionError naming what it left, as Node names it: `Timeout`, `TCPSocketWrap`, `ProcessWrap`, …
 */
export async function expectNoLeftovers(work: () => Promise<void>): Promise<void> {
  const before = count()
  for (let round = 0; round < rounds; round += 1) await work()
  const deadline = systemClock.monotonic() + settleMs
  let left = grown(before)
  while (left.length > 0 && systemClock.monotonic() < deadline) {
    await pause(systemClock, 20)
    left = grown(before)
  }
  assert.deepEqual(left, [], `it left behind, each time: ${left.join(', ')}`)
}

/** What is there more of than before, by at least one each time. */
function grown(before: ReadonlyMap<string, number>): string[] {
  return [...count()].filter(([kind, now]) => now - (before.get(kind) ?? 0) >= rounds).map(([kind]) => kind)
}

function count(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts
}
