/** Starts a run in a fabric, tells its id once it is executing, and stands still. Arguments: data folder, fabric, its task. */
import { createRunner } from '../../src/index.ts'

const [dataDir = '', fabric = '', task = ''] = process.argv.slice(2)
const placement = { pool: 'crew', fabric, maxWaitMs: 10_000 }
const runner = await createRunner({ roles: { work: { executor: 'work', placement } }, dataDir, quiet: true })
const run = await runner.start({ role: 'work', task })
for await (const event of run) if (event.type === 'data') break
console.log(`executing ${run.id}`)
setInterval(() => undefined, 60_000)
