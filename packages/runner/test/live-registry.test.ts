import { expect, test } from 'vitest'
import { LiveRegistry } from '../src/drive/live-registry.ts'
import { assignment, openAttempt, ref } from './fixtures/attempt.ts'

const sender = { from: 'worker.1', fromIncarnation: 'w1' }

/** An attempt that is in progress, of this epoch. */
const inProgress = (epoch: number) => openAttempt({ run: { ...assignment, epoch } })

test('an attempt is found by its run and epoch while it is registered; releasing it again does nothing', async () => {
  await using it = await inProgress(2)
  const registry = new LiveRegistry()
  const guard = registry.register(it.attempt)
  expect(registry.find(ref, sender)).toBe(it.attempt)
  expect(registry.named(ref)).toBe(it.attempt)
  guard[Symbol.dispose]()
  guard[Symbol.dispose]()
  expect(registry.find(ref, sender)).toBeUndefined()
  expect([...registry]).toEqual([])
})

test('registering overwrites nothing of another epoch, and releasing it ends nothing of another', async () => {
  await using older = await inProgress(2)
  await using newer = await inProgress(3)
  const registry = new LiveRegistry()
  registry.register(older.attempt)
  const guard = registry.register(newer.attempt)
  expect(registry.find({ runId: 'r1', epoch: 2 }, sender)).toBe(older.attempt)
  expect(registry.find({ runId: 'r1', epoch: 3 }, sender)).toBe(newer.attempt)
  expect([...registry]).toEqual([older.attempt, newer.attempt])
  guard[Symbol.dispose]()
  expect([...registry]).toEqual([older.attempt])
})

test('a run whose id begins with a digit is not taken for one of another epoch', async () => {
  await using it = await openAttempt({ run: { ...assignment, runId: '1x', epoch: 1 } })
  const registry = new LiveRegistry()
  registry.register(it.attempt)
  expect(registry.named({ runId: '1x', epoch: 1 })).toBe(it.attempt)
  expect(registry.named({ runId: 'x', epoch: 11 })).toBeUndefined()
})

test('an old guard never removes a newer entry', async () => {
  await using older = await inProgress(2)
  await using newer = await inProgress(2)
  const registry = new LiveRegistry()
  const old = registry.register(older.attempt)
  const guard = registry.register(newer.attempt)
  old[Symbol.dispose]()
  expect(registry.find(ref, sender)).toBe(newer.attempt)
  guard[Symbol.dispose]()
  expect(registry.find(ref, sender)).toBeUndefined()
})

test.for([
  ['another run', { ...ref, runId: 'r2' }, sender],
  ['another epoch', { ...ref, epoch: 1 }, sender],
  ['another worker', ref, { ...sender, from: 'worker.2' }],
  ['another life of the worker', ref, { ...sender, fromIncarnation: 'w0' }],
  ['a sender that never attached', ref, { ...sender, fromIncarnation: undefined }],
] as const)('an unknown pair finds nothing: %s', async ([, unknown, by]) => {
  await using it = await inProgress(2)
  const registry = new LiveRegistry()
  registry.register(it.attempt)
  expect(registry.find(unknown, by)).toBeUndefined()
  expect(registry.find(ref, sender)).toBe(it.attempt)
})
