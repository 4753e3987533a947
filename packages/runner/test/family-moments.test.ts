/** Parents, askers and stand-ins at awkward moments. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createRunner, workerEntry } from '../src/index.ts'
import { firstData, temporaryFolder, until } from './fixtures/setup.ts'
import type { executors } from './fixtures/moments.ts'

const worker = workerEntry<typeof executors>(new URL('fixtures/moments.ts', import.meta.url))
const roles = {
  leaf: { executor: 'leaf' },
  fickle: { executor: 'fickle' },
  root: { executor: 'root' },
  grandparent: { executor: 'grandparent' },
  giver: { executor: 'giver' },
  listener: { executor: 'listener' },
  slow: { executor: 'slow' },
  mortal: { executor: 'mortal', idempotent: true, retry: { attempts: 2, backoffMs: 3_000 } },
} as const
const base = { worker, roles, dataDir: null, quiet: true } as const

test('asked to leave twice in one attempt', { timeout: 40_000 }, async () => {
  await using runner = await createRunner({
    ...base,
    admission: { maxProcesses: 1 },
    approvals: { person: 'elsewhere' },
  })
  const run = runner.run({ role: 'fickle' })
  const asked = await until(() => runner.approvals.list({ state: 'pending' })[0], 'the question', 30_000)
  await firstData(run, 'gave up')
  await runner.approvals.answer(asked.id, { allow: true })
  const late = new Promise((resolve) => setTimeout(resolve, 10_000, 'hangs'))
  expect(await Promise.race([run.outcome, late])).toMatchObject({ status: 'completed', output: ['completed'] })
})

test('the stand-in of a child of a bounded tree is bounded', { timeout: 40_000 }, async () => {
  await using runner = await createRunner({ ...base, budget: { tokens: 5 } })
  const outcome = await runner.run({ role: 'root' }).outcome
  if (outcome.status !== 'completed') throw new Error(JSON.stringify(outcome))
  const child = await runner.attach(outcome.text)
  await expect(child.ask('spend 1000')).rejects.toMatchObject({ code: 'LIMIT_BUDGET' })
})

test(
  'so is that of a grandchild of a tree that goes on, by what its parent was given',
  { timeout: 40_000 },
  async () => {
    await using runner = await createRunner(base)
    const run = runner.run({ role: 'grandparent', budget: { tokens: 1_000 } })
    const grandchild = await runner.attach(String(await firstData(run, 'grandchild')))
    expect(await grandchild.ask('spend 10')).toBe('leaf: spend 10')
    await expect(grandchild.ask('spend 11')).rejects.toMatchObject({ code: 'LIMIT_BUDGET' })
    await run.cancel()
  },
)

test(
  'who answers in the stead of a run that has ended and is settled, or of an earlier life, has its budget',
  { timeout: 60_000 },
  async () => {
    using folder = temporaryFolder()
    const dataDir = join(folder.path, 'data')
    let id = ''
    {
      await using runner = await createRunner({ ...base, dataDir })
      const run = runner.run({ role: 'leaf', task: 'spend 5', budget: { tokens: 5 } })
      id = run.id
      await run.outcome
      await until(() => runner.stats().runs.length === 0 && runner.stats().executing === 0, 'rest')
      const past = await runner.attach(id)
      await expect.soft(past.ask('spend 6')).rejects.toMatchObject({ code: 'LIMIT_BUDGET' })
    }
    await using runner = await createRunner({ ...base, dataDir })
    const past = await runner.attach(id)
    await expect.soft(past.ask('spend 6')).rejects.toMatchObject({ code: 'LIMIT_BUDGET' })
  },
)

test('who is between two attempts is asked when it is at work again', { timeout: 30_000 }, async () => {
  await using runner = await createRunner(base)
  const run = runner.run({ role: 'mortal', task: '' })
  await until(() => run.status().phase === 'delayed', 'the pause between its attempts', 20_000)
  expect(await run.ask('well?', { timeoutMs: 15_000 })).toBe('attempt 2: well?')
})

test(
  'what is sent to a suspended run reaches it when it goes on, also in the same worker',
  { timeout: 30_000 },
  async () => {
    await using runner = await createRunner({ ...base, admission: { maxProcesses: 1 } })
    const run = runner.run({ role: 'listener', task: '' })
    await until(() => run.status().phase === 'suspended', 'its suspension', 20_000)
    expect(await run.send('sent meanwhile')).toMatch(/^(?:delivered|queued)$/)
    expect(await run.outcome).toMatchObject({ status: 'completed', text: 'heard: sent meanwhile' })
    const texts = (await runner.sessions.messages(run.id)).map(({ content }) => content)
    expect(texts.filter((text) => text === 'sent meanwhile')).toHaveLength(1)
  },
)

test('what is no text is refused at once, and is in no transcript', { timeout: 30_000 }, async () => {
  await using runner = await createRunner(base)
  const run = runner.run({ role: 'slow', task: 'go' })
  for (const odd of [undefined, 5, { a: 1 }, null])
    // @ts-expect-error -- who does not compile may give anything
    await expect(run.send(odd)).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  await run.outcome
  expect((await runner.sessions.messages(run.id)).map(({ content }) => content)).toEqual(['go'])
})

test('who has used all that it was given is asked within what is left above it', { timeout: 30_000 }, async () => {
  await using runner = await createRunner(base)
  const outcome = await runner.run({ role: 'giver', task: '', budget: { tokens: 10 } }).outcome
  expect(outcome).toMatchObject({ status: 'completed', text: 'leaf: spend 2' })
})
