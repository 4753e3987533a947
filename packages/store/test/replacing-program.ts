/**
 * Opens a store and replaces the left record up to a number; the last commit also puts the right one. Says the number, then
 * stays, and does nothing.
 *
 * Arguments: the folder; the number.
 */
import { openStore } from '../src/index.ts'

const [dir = '', last = ''] = process.argv.slice(2)
const store = await openStore({ dir, schema: { version: 1, collections: ['left', 'right'] }, thread: false })
const body = new Uint8Array(6_000)
const put = (collection: string, n: number) => ({ put: collection, key: 'k', meta: { n }, body })
for (let n = 1; n < Number(last); n += 1) await store.commit([put('left', n)])
await store.commit([put('left', Number(last)), put('right', Number(last))])
process.stdout.write(`${last}\n`)
setInterval(() => {}, 60_000)
