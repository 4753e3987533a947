import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineExecutor } from '@greenroom/worker'
import { expect, test } from 'vitest'
import { readAll, temporaryFolder, testRunner, until } from './fixtures/setup.ts'
import { openTheatre } from './fixtures/threadless.ts'

const MiB = 1024 * 1024

test('a run that nobody reads is not held up, and a late reader finds its entries', async () => {
  await using runner = await testRunner()
  const run = runner.run({ role: 'count', input: { count: 5_000 } })
  await run.outcome
  const events = await readAll(run)
  expect(events).toHaveLength(5_000)
  expect(events.slice(0, 3)).toEqual([
    { type: 'data', name: 'n', data: [1, ''], seq: 1, epoch: 1 },
    { type: 'skipped', first: 2, last: 2, epoch: 1 },
    { type: 'data', name: 'n', data: [3, ''], seq: 3, epoch: 1 },
  ])
  expect(events.at(-1)).toEqual({ type: 'skipped', first: 5_000, last: 5_000, epoch: 1 })
})

test('an open reader that stops holds the executor back; leaving lets it go on', async () => {
  await using runner = await testRunner()
  const run = runner.run({ role: 'count', input: { count: 5_000, kind: 'deltas' } })
  const reader = run[Symbol.asyncIterator]()
  expect(await reader.next()).toMatchObject({ value: { seq: 1 } })
  const held = await until(() => run.status().events > 1_024 && run.status().events)
  await sleep(100)
  expect(run.status()).toMatchObject({ phase: 'running', events: held })
  expect(held).toBeLessThan(2_200)
  await reader.return?.()
  expect(await run.outcome).toMatchObject({ status: 'completed', output: 5_000 })
})

test('several readers each see everything', async () => {
  await using runner = await testRunner()
  const run = runner.run({ role: 'count', input: { count: 2_000 } })
  const all = await Promise.all([readAll(run), readAll(run), readAll(run)])
  for (const events of all)
    expect(events.map((event) => (event.type === 'skipped' ? 0 : event.seq))).toEqual(
      Array.from({ length: 2_000 }, (_, n) => n + 1),
    )
})

test('an event of a type that nobody knows is read as it was told, also afterwards', async () => {
  const event = { type: 'own', deep: [1] }
  // The compiler knows all types of this version, and no later one's.
  const own = defineExecutor({ version: '1', run: (_request, ctx) => Reflect.apply(ctx.emit, ctx, [event]) })
  await using theatre = await openTheatre({ own })
  const run = theatre.runner.run({ role: 'own' })
  const told = [{ ...event, seq: 1, epoch: 1 }]
  expect(await readAll(run)).toEqual(told)
  await run.outcome
  expect(await readAll(await theatre.runner.attach(run.id))).toEqual(told)
})

test('memory stays flat over 200,000 events of 1 KiB, read fast, slowly, not at all, and abandoned', async () => {
  using folder = temporaryFolder()
  const program = fileURLToPath(new URL('fixtures/reading-program.ts', import.meta.url))
  const options = ['--conditions=@greenroom/source', '--max-semi-space-size=2']
  const { stdout } = await promisify(execFile)(process.execPath, [...options, program, folder.path])
  const measured: unknown = JSON.parse(stdout)
  console.log(`reading 200,000 events of 1 KiB: ${stdout.trim()} (bound of growth ${32 * MiB})`)
  expect(measured).toMatchObject({ status: 'completed' })
  expect(measured).toSatisfy(({ growth }: { growth: number }) => growth < 3 * 32 * MiB)
  // A stopped reader stops the executor: at most a window is on its way.
  expect(measured).toSatisfy(({ ahead }: { ahead: number }) => ahead <= 2_048)
}, 120_000)
