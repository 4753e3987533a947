/** A program with a runner whose secrets are canaries. Prints what becomes of its runs, a line of JSON for each step. */
import { createRunner, workerEntry } from '@greenroom/runner'
import { readFileSync } from 'node:fs'

const [dataDir = '', url = '', tokenFile = '', canaries = ''] = process.argv.slice(2)
const { declared, undeclared, thrown } = JSON.parse(readFileSync(canaries, 'utf8'))
const runner = await createRunner({
  worker: workerEntry<typeof import('./worker.ts').executors>(new URL('./worker.ts', import.meta.url)),
  roles: {
    keeper: { executor: 'keeper', secrets: ['DECLARED'] },
    eager: { executor: 'keeper', secrets: ['DECLARED', 'BROKEN'] },
  },
  secrets: {
    DECLARED: declared,
    UNDECLARED: undeclared,
    BROKEN: () => Promise.reject(new Error(`no connection with ${thrown}`)),
  },
  bus: { url, token: readFileSync(tokenFile, 'utf8') },
  approvals: { policy: () => ({ allow: true }) },
  dataDir,
})
const say = (value: unknown): void => console.log(JSON.stringify(value))
const kept = runner.run({ role: 'keeper', task: 'keep on' })
for await (const event of kept) {
  if (event.type !== 'data') continue
  say({ worker: kept.status().worker?.pid, programs: event.data })
  break
}
for (const [role, task] of [
  ['keeper', 'undeclared'],
  ['keeper', 'throw'],
  ['keeper', 'exit'],
  ['eager', 'never starts'],
] as const)
  say({ task, outcome: await runner.run({ role, task }).outcome })
say({ stats: runner.stats() })
for await (const _ of process.stdin);
say({ task: 'keep on', outcome: await kept.cancel('enough') })
// A wrong token, and a role that asks for more than its executor declares: what users see of it.
await createRunner({
  worker: new URL('./worker.ts', import.meta.url),
  roles: { keeper: { executor: 'keeper' } },
  bus: { url, token: `${readFileSync(tokenFile, 'utf8')}x` },
  dataDir: null,
  partitionGraceMs: 500,
}).catch((error: unknown) => console.error(error))
await runner.close()
