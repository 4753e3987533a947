/** What the runs of several runners ask for, through one door. */
import { expect, test, vi } from 'vitest'
import { composeRunners, createRunner, type ApprovalRecord } from '../src/index.ts'
import { until, worker } from './fixtures/setup.ts'

const asking = (role: string) =>
  createRunner({
    worker,
    roles: { [role]: { executor: 'asks' } },
    dataDir: null,
    quiet: true,
    approvals: { person: 'elsewhere' },
  })

async function composed() {
  const [one, two] = [await asking('one'), await asking('two')]
  const both = composeRunners(composeRunners(one), two)
  const pending = (count: number) =>
    until(() => {
      const waiting = both.approvals.list({ state: 'pending' })
      return waiting.length === count && waiting
    }, `${count} that wait`)
  return { one, two, both, pending, [Symbol.asyncDispose]: () => both[Symbol.asyncDispose]() }
}

test('what all of them ask is listed, oldest first, and answered by its id at the one whose it is', async () => {
  await using it = await composed()
  const second = it.both.run({ role: 'two', task: '' })
  const [asked] = await it.pending(1)
  const first = it.both.run({ role: 'one', task: '' })
  const waiting = await it.pending(2)
  expect(waiting.map(({ role }) => role)).toEqual(['two', 'one'])
  expect(it.both.approvals.list({ runId: first.id })).toMatchObject([{ role: 'one' }])
  for (const { id, role } of waiting) {
    expect(it.both.approvals.get(id)).toMatchObject({ id, role })
    const verdict = { allow: role === 'one', reason: role, scope: 'session' } as const
    const record = await it.both.approvals.answer(id, verdict, { by: 'ann' })
    expect(record).toMatchObject({ id, decision: { allowed: role === 'one', reason: role, by: 'ann' } })
  }
  expect(await first.outcome).toMatchObject({ output: { allowed: true, reason: 'one' } })
  expect(await second.outcome).toMatchObject({ output: { allowed: false, reason: 'two' } })
  expect(it.two.approvals.get(asked?.id ?? '')).toMatchObject({ decision: { allowed: false } })
  await expect(it.both.approvals.answer('nothing', { allow: true })).rejects.toMatchObject({ code: 'UNKNOWN_APPROVAL' })
  expect(() => it.both.approvals.get('nothing')).toThrow(expect.objectContaining({ code: 'UNKNOWN_APPROVAL' }))
})

test('grants of all of them are seen, and taken back at the one that gave it', async () => {
  await using it = await composed()
  const runs = (['one', 'two'] as const).map((role) => it.both.run({ role, task: '' }))
  for (const { id } of await it.pending(2)) await it.both.approvals.answer(id, { allow: true, scope: 'session' })
  for (const { outcome } of runs) await outcome
  const grants = it.both.approvals.grants()
  expect(new Set(grants.map(({ of }) => of)).size).toBe(2)
  expect(await it.both.approvals.revoke(it.two.approvals.grants()[0]?.id ?? '')).toBe(true)
  expect(it.two.approvals.grants()).toEqual([])
  expect(it.one.approvals.grants()).toHaveLength(1)
  expect(it.both.approvals.grants()).toEqual(it.one.approvals.grants())
  expect(await it.both.approvals.revoke('nothing')).toBe(false)
  // One that has closed hides nothing of the others.
  const kept = it.one.approvals.grants()
  await it.two.close()
  expect(it.both.approvals.grants()).toEqual(kept)
  expect(await it.both.approvals.revoke('nothing')).toBe(false)
  expect(await it.both.approvals.revoke(kept[0]?.id ?? '')).toBe(true)
  expect(it.one.approvals.grants()).toEqual([])
})

test('watching sees what waits at all of them, then each change; one that closes ends it for no other', async () => {
  await using it = await composed()
  const waits = it.both.run({ role: 'two', task: '' })
  await it.pending(1)
  const seen: ApprovalRecord[] = []
  const watched = (async () => {
    for await (const record of it.both.approvals.watch()) seen.push(record)
  })()
  const run = it.both.run({ role: 'one', task: '' })
  const [, { id } = { id: '' }] = await it.pending(2)
  await it.both.approvals.answer(id, { allow: true })
  await run.outcome
  await until(() => seen.length === 3, 'three changes')
  expect(seen.map(({ role, decision }) => [role, decision?.allowed])).toEqual([
    ['two', undefined],
    ['one', undefined],
    ['one', true],
  ])
  await it.one.close()
  const [{ id: left } = { id: '' }] = it.both.approvals.list({ state: 'pending' })
  await it.both.approvals.answer(left, { allow: false })
  expect(await waits.outcome).toMatchObject({ output: { allowed: false } })
  await until(() => seen.length === 4, 'a change after one has closed')
  expect(seen.at(-1)).toMatchObject({ role: 'two', decision: { allowed: false } })
  await it.both.close()
  await watched
})

test('watching ends with its signal, and with its loop', async () => {
  await using it = await composed()
  const enough = new AbortController()
  const watched = (async () => {
    for await (const record of it.both.approvals.watch({ signal: enough.signal })) return record
    return undefined
  })()
  enough.abort()
  expect(await watched).toBeUndefined()
  it.both.run({ role: 'one', task: '' })
  using watch = vi.spyOn(it.two.approvals, 'watch')
  for await (const { role } of it.both.approvals.watch()) {
    expect(role).toBe('one')
    break
  }
  // Also at the one that had nothing to tell.
  expect(watch.mock.calls).toEqual([[{ signal: expect.objectContaining({ aborted: true }) }]])
})

test('one that had closed before hides nothing of the others from whoever watches', async () => {
  await using it = await composed()
  await it.two.close()
  const changes = it.both.approvals.watch()[Symbol.asyncIterator]()
  const first = changes.next()
  it.both.run({ role: 'one', task: '' })
  expect(await first).toMatchObject({ value: { role: 'one' } })
  await changes.return?.()
})
