/**
 * A program with a runner in it that reads a flood of events: fast, then slow, then not at all, then never again.
 * Prints what it saw as one line of JSON.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { ReadEvent } from '@greenroom/proto'
import { createRunner, workerEntry } from '@greenroom/runner'
import { measureGrowth } from './resident.ts'

const [url, token, brokerPid, mode, dataDir = null] = process.argv.slice(2)
if (url === undefined || token === undefined || brokerPid === undefined) throw new Error('where is the broker?')
const total = 200_000

await using runner = await createRunner({
  worker: workerEntry<typeof import('./worker.ts').executors>(new URL('./worker.ts', import.meta.url)),
  roles: { flood: { executor: 'flood' } },
  bus: { url, token },
  dataDir,
})
const flood = (events: number) => runner.run({ role: 'flood', input: { events, bytes: 1024 } })

/** What a reader saw. Wrong is what came twice, out of order, or not as it was sent. */
class Witness {
  last = 0
  wrong = 0
  skipped = 0
  entries = 0
  deltas = 0

  see(event: ReadEvent): void {
    const [first, last] = event.type === 'skipped' ? [event.first, event.last] : [event.seq, event.seq]
    let isRight = first === this.last + 1
    this.last = last
    if (event.type === 'skipped') this.skipped += last - first + 1
    else if (event.type === 'data') {
      this.entries += 1
      isRight &&= JSON.stringify(event.data).startsWith(`{"n":${last},`)
    } else {
      this.deltas += 1
      isRight &&= event.type === 'text-delta' && event.text.startsWith(`${last} x`)
    }
    if (!isRight) this.wrong += 1
  }
}

// A short one before: all is connected, loaded and compiled, but no heap, buffer or cache has grown.
for await (const _event of flood(1_000));

const [runnerGrowth, brokerGrowth] = [measureGrowth('self'), measureGrowth(brokerPid)]
const run = flood(total)
const read = new Witness()
if (mode === 'read')
  for await (const event of run) {
    read.see(event)
    // Fast to 60,000; slow to 70,000; then it stops for three seconds; then it goes.
    if (read.last > 60_000 && read.last % 50 === 0) await wait(2)
    if (read.last === 70_000) await wait(3000)
    if (read.last === 80_000) break
  }
const outcome = await run.outcome

// Who comes late finds every entry, from the first on, and gaps in place of the deltas.
const replay = new Witness()
for await (const event of run) replay.see(event)
const memory = { runner: runnerGrowth(), broker: brokerGrowth() }
console.log(JSON.stringify({ outcome, read, replay, memory }))
