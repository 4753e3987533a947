/**
 * Has a member of the pool `crew` ask for `one`, which is allowed, and `two`, which nobody decides on; stands still then, to
 * be killed. Arguments: data folder, URL of a broker, its token.
 */
import { askingRunner } from './asking.ts'

const [dataDir = '', url = '', token = ''] = process.argv.slice(2)
const runner = await askingRunner(dataDir, { url, token })
const run = await runner.start({ role: 'asks', task: '' })
for await (const { resource } of runner.approvals.watch()) if (resource === 'two') break
console.log(`${run.id} waits`)
setInterval(() => undefined, 60_000)
