/** 200,000 events of 1 KiB: nothing lost, nothing doubled, and memory flat in every process. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { smallNursery, sourceArgs, startBroker } from './broker-process.ts'

const token = 'a-token-for-the-flood-test'
const total = 200_000
/** How much each process may grow; asserted at three times that, since the machine is shared and the collector lazy. */
const growthMiB = 32

const witness = z.object({
  last: z.number(),
  wrong: z.number(),
  skipped: z.number(),
  entries: z.number(),
  deltas: z.number(),
})
const resident = z.object({ runner: z.number(), broker: z.number() })
const report = z.object({
  outcome: z.object({
    status: z.literal('completed'),
    output: z.object({ waits: z.number(), longestMs: z.number(), baseMiB: z.number(), peakMiB: z.number() }),
  }),
  read: witness,
  replay: witness,
  memory: z.object({ cold: resident, base: resident, peak: resident }),
})

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'greenroom-flood-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function flood(mode: 'read' | 'await'): Promise<z.infer<typeof report>> {
  await using broker = await startBroker(join(folder, `${mode}-broker`), token)
  const host = new URL('./flood/host.ts', import.meta.url).pathname
  const args = [
    smallNursery,
    ...sourceArgs,
    host,
    broker.url,
    token,
    String(broker.pid),
    mode,
    join(folder, `${mode}-runner`),
  ]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return report.parse(JSON.parse(stdout))
}

function checkMemory({ memory, outcome }: z.infer<typeof report>, mode: string): void {
  const { cold, base, peak } = memory
  const grown = {
    runner: peak.runner - base.runner,
    broker: peak.broker - base.broker,
    worker: outcome.output.peakMiB - outcome.output.baseMiB,
  }
  const words = Object.entries(grown).map(([name, mib]) => `${name} +${mib.toFixed(1)} MiB`)
  const warming = `runner +${(base.runner - cold.runner).toFixed(1)}, broker +${(base.broker - cold.broker).toFixed(1)}`
  console.log(
    `flood, ${mode}: ${words.join(', ')} (allowed: ${growthMiB} MiB each; the first flood ever: ${warming}); the longest emit waited ${outcome.output.longestMs.toFixed(0)} ms`,
  )
  for (const mib of Object.values(grown)) expect(mib).toBeLessThan(3 * growthMiB)
}

/** Every entry once and in its place, gaps where the deltas were. */
const afterwards = { last: total, wrong: 0, skipped: (total / 10) * 9, entries: total / 10, deltas: 0 }

it('a reader that is fast, then slow, then stopped, then gone', { timeout: 180_000 }, async () => {
  const seen = await flood('read')
  // While it read: every event, in order, once.
  expect(seen.read).toEqual({ last: 80_000, wrong: 0, skipped: 0, entries: 8_000, deltas: 72_000 })
  // The executor was held back while the reader stood still.
  expect(seen.outcome.output.longestMs).toBeGreaterThan(2_500)
  expect(seen.replay).toEqual(afterwards)
  checkMemory(seen, 'read')
})

it('a caller that only awaits the outcome never blocks its run', { timeout: 180_000 }, async () => {
  const seen = await flood('await')
  expect(seen.replay).toEqual(afterwards)
  // What it waited for was the disk.
  expect(seen.outcome.output.longestMs).toBeLessThan(1_000)
  checkMemory(seen, 'await')
})
