/** 200,000 events of 1 KiB: nothing lost, nothing doubled, and memory flat in every process. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { sourceArgs, startBroker } from './broker-process.ts'

const token = 'a-token-for-the-flood-test'
const total = 200_000
/** How much each process may grow; asserted at three times that, since the machine is shared and the collector lazy. */
const growthMiB = 32
/** The reader stands still for three seconds; whoever is not held back by it waits for the disk, and never so long. */
const heldMs = 2_500

const witness = z.object({
  last: z.number(),
  wrong: z.number(),
  skipped: z.number(),
  entries: z.number(),
  deltas: z.number(),
})
const growth = z.object({ baseMiB: z.number(), peakMiB: z.number() })
const report = z.object({
  outcome: z.object({
    status: z.literal('completed'),
    output: growth.extend({ waits: z.number(), longestMs: z.number() }),
  }),
  read: witness,
  replay: witness,
  memory: z.object({ runner: growth, broker: growth }),
})

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'greenroom-flood-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function flood(mode: 'read' | 'await'): Promise<z.infer<typeof report>> {
  await using broker = await startBroker(join(folder, `${mode}-broker`), token)
  const host = new URL('./flood/host.ts', import.meta.url).pathname
  const args = [...sourceArgs, host, broker.url, token, String(broker.pid), mode, join(folder, `${mode}-runner`)]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return report.parse(JSON.parse(stdout))
}

function checkMemory({ memory, outcome }: z.infer<typeof report>, mode: string): void {
  const grown = Object.entries({ ...memory, worker: outcome.output }).map(
    ([name, { baseMiB, peakMiB }]) => [name, peakMiB - baseMiB] as const,
  )
  const words = grown.map(([name, mib]) => `${name} +${mib.toFixed(1)} MiB`).join(', ')
  const { longestMs } = outcome.output
  console.log(
    `flood, ${mode}: ${words} (allowed: ${growthMiB} each); the longest emit waited ${longestMs.toFixed(0)} ms`,
  )
  for (const [, mib] of grown) expect(mib).toBeLessThan(3 * growthMiB)
}

/** Every entry once and in its place, gaps where the deltas were. */
const afterwards = { last: total, wrong: 0, skipped: (total / 10) * 9, entries: total / 10, deltas: 0 }

it('a reader that is fast, then slow, then stopped, then gone', { timeout: 180_000 }, async () => {
  const seen = await flood('read')
  // While it read: every event, in order, once.
  expect(seen.read).toEqual({ last: 80_000, wrong: 0, skipped: 0, entries: 8_000, deltas: 72_000 })
  // The executor was held back while the reader stood still.
  expect(seen.outcome.output.longestMs).toBeGreaterThan(heldMs)
  expect(seen.replay).toEqual(afterwards)
  checkMemory(seen, 'read')
})

it('a caller that only awaits the outcome never blocks its run', { timeout: 180_000 }, async () => {
  const seen = await flood('await')
  expect(seen.replay).toEqual(afterwards)
  // What it waited for was the disk.
  expect(seen.outcome.output.longestMs).toBeLessThan(heldMs)
  checkMemory(seen, 'await')
})
