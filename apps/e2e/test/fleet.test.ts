/** Five thousand short runs on a few warm workers, with cancels, kills and failures at random: nothing is lost or left. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sourceArgs } from './broker-process.ts'
import type { FleetReport } from './fleet/host.ts'
import { isAlive } from './kill/processes.ts'

const seed = 1
/** What a long run lets V8's young generation grow to is not what a run leaves behind. */
const smallNursery = '--max-semi-space-size=8'

test('five thousand runs: as many outcomes, and nothing is left of any', { timeout: 300_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'greenroom-fleet-'))
  try {
    const host = fork(new URL('./fleet/host.ts', import.meta.url), [folder, '5000', String(seed)], {
      execArgv: [smallNursery, ...sourceArgs, '--expose-gc'],
    })
    const exited = once(host, 'exit')
    const told = once(host, 'message').then(([message]: unknown[]) => message as FleetReport)
    const report = await Promise.race([
      told,
      exited.then(() => Promise.reject(new Error('the fleet ended without a report'))),
    ])
    await exited
    console.log('fleet:', JSON.stringify({ ...report, pids: report.pids.length }))
    const { outcomes, descriptors, rssMb, heapKb } = report
    expect(Object.values(outcomes).reduce((sum, n) => sum + n, 0)).toBe(report.runs)
    expect(report.recorded).toBe(report.runs)
    expect(report.odd).toBe(0)
    expect(Object.keys(outcomes).toSorted()).toEqual(['EXECUTOR_ERROR', 'WORKER_LOST', 'cancelled', 'completed'])
    expect(report.kills).toBeGreaterThan(20)
    expect(report.left).toEqual({ executing: 0, queued: 0, busy: 0, notIdle: 0, runs: 0 })
    expect(report.pids.filter((pid) => isAlive(pid))).toEqual([])
    expect(descriptors.after).toBeLessThanOrEqual(descriptors.before)
    const [first = 0] = rssMb
    const last = rssMb.at(-1) ?? 0
    expect(last - first).toBeLessThan(3 * 16)
    // Whatever is in flight is in it, and what this program itself remembers of each run.
    const perRun = (1024 * ((heapKb.at(-1) ?? 0) - (heapKb[0] ?? 0))) / 4_000
    console.log(`memory that runner and broker keep of a finished run, in one process: ${Math.round(perRun)} B`)
    expect(perRun).toBeLessThan(512)
  } finally {
    await rm(folder, { recursive: true })
  }
})
