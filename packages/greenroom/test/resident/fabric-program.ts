/** Starts a run in a fabric, tells its id once it is executing, and stands still. Arguments: data folder, fabric, its task, its role. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createRunner } from '../../src/index.ts'

const [dataDir = '', fabric = '', task = '', role = ''] = process.argv.slice(2)
const placement = { pool: 'crew', fabric, maxWaitMs: 10_000 }
const runner = await createRunner({ roles: { [role]: { executor: role, placement } }, dataDir, quiet: true })
const run = await runner.start({ role, task })
while (run.status().phase !== 'running') await sleep(20)
console.log(`executing ${run.id}`)
setInterval(() => undefined, 60_000)
