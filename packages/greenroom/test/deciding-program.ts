/** A runner in the data folder that it is told, with one run, which asks; says how that ended, and goes on. */
import { createRunner } from 'greenroom'

const [dataDir = '', task = ''] = process.argv.slice(2)
const runner = await createRunner({
  worker: new URL('./deciding-worker.ts', import.meta.url),
  roles: { releaser: { executor: 'asks' } },
  dataDir,
  approvals: { person: 'elsewhere' },
})
const run = await runner.start({ role: 'releaser', task, session: 'release' })
console.log(`run ${run.id}`)
console.log(`outcome ${JSON.stringify(await run.outcome)}`)
const stay = setInterval(() => undefined, 60_000)
process.once('SIGTERM', () => {
  clearInterval(stay)
  void runner.drain()
})
