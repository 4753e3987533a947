/**
 * Opens a store, says `open`, and commits pairs of records for ever, or up to a limit: then it stays, and does nothing.
 *
 * A receipt is noted at once in a file, with its time, by a synchronous write, which a kill of this process cannot take
 * back (what waits for a pipe is lost with the process). After each hundred receipts the count is said.
 *
 * Arguments: the folder; the file for the receipts; `thread` or `own`; the value of `synchronous`, or `default`; how many
 * commits are in flight; the limit.
 */
import { openSync, writeSync } from 'node:fs'
import { openStore } from '../src/index.ts'

const [dir = '', receiptPath = '', mode, synchronous, inFlight, limit = 'Infinity'] = process.argv.slice(2)
const receipts = openSync(receiptPath, 'a')
const store = await openStore({
  dir,
  schema: { version: 1, collections: ['left', 'right'] },
  thread: mode === 'thread',
  ...(synchronous === 'OFF' || synchronous === 'NORMAL' || synchronous === 'FULL' ? { synchronous } : {}),
})
process.stdout.write('open\n')

let next = 0
let count = 0
async function writer(): Promise<void> {
  while (next < Number(limit)) {
    const n = (next += 1)
    const key = String(n).padStart(9, '0')
    const body = new Uint8Array(1024).fill(n % 256)
    await store.commit([
      { put: 'left', key, meta: { n }, body },
      { put: 'right', key, meta: { n }, body },
    ])
    writeSync(receipts, `${n} ${process.hrtime.bigint()}\n`)
    count += 1
    if (count % 100 === 0) process.stdout.write(`${count}\n`)
  }
}
setInterval(() => {}, 60_000)
await Promise.all(Array.from({ length: Number(inFlight) }, writer))
