/** The README's first program: node main.ts, inside a git repository. */
import { askInTerminal, createRunner, workerEntry } from 'greenroom'

await using runner = await createRunner({
  worker: workerEntry<typeof import('./worker.ts').executors>(new URL('./worker.ts', import.meta.url)),
  roles: { releaser: { executor: 'release' } },
  approvals: { person: askInTerminal }, // without an approver: denied at once
})
const run = runner.run({ role: 'releaser', task: 'Tag this commit', input: { tag: 'v1' } })
for await (const e of run) if (e.type === 'text-delta') process.stdout.write(e.text)
const end = await run.outcome // never rejects
console.log(end.status === 'completed' ? end.output.sha : end)
