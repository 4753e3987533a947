/** A program with a runner whose roles are at a remote and in a pool. Prints what becomes of its runs, a line for each. */
import { createRunner } from '@greenroom/runner'
import { readFileSync } from 'node:fs'

const [dataDir = '', url = '', tokenFile = '', remote = '', remoteTokenFile = '', ca = ''] = process.argv.slice(2)
const read = (path: string): string => readFileSync(path, 'utf8').trim()
const places = {
  pool: { pool: 'crew', maxWaitMs: 60_000 },
  remote: { remote, token: () => read(remoteTokenFile), ca: read(ca) },
}
const runner = await createRunner({
  roles: {
    pool: { executor: 'keeper', placement: places.pool },
    remote: { executor: 'keeper', placement: places.remote },
  },
  bus: { url, token: () => read(tokenFile) },
  approvals: { policy: () => ({ allow: true }) },
  limits: { acceptWarmMs: 60_000 },
  dataDir,
})
const say = (value: unknown): void => console.log(JSON.stringify(value))
for (const role of ['pool', 'remote'] as const) {
  for (const task of ['undeclared', 'throw']) say({ role, task, outcome: await runner.run({ role, task }).outcome })
  const kept = runner.run({ role, task: 'keep on' })
  for await (const event of kept) {
    if (event.type !== 'data') continue
    say({ role, programs: event.data })
    break
  }
}
for await (const _ of process.stdin);
await runner.close()
