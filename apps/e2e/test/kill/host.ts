/** A program with a runner in it, to be killed: starts one run and prints the pids as soon as it knows them. */
import { createRunner, workerEntry } from '@greenroom/runner'

const [role, dataDir] = process.argv.slice(2)
if (role !== 'keeper' && role !== 'spinner') throw new Error('which role?')
const runner = await createRunner({
  worker: workerEntry<typeof import('./worker.ts').executors>(new URL('./worker.ts', import.meta.url)),
  roles: { keeper: { executor: 'keeper' }, spinner: { executor: 'spinner' } },
  dataDir: dataDir ?? null,
})
const run = runner.run({ role, session: 'killed', task: 'keep on' })
for await (const event of run) {
  if (event.type === 'data') console.log(JSON.stringify({ worker: run.status().worker?.pid, program: event.data }))
}
