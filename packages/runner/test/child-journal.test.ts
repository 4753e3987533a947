/** Whose children there are, as the journal knows it. */
import { createMemoryStore } from '@greenroom/store'
import { expect, test } from 'vitest'
import { Journal, journalCollections, type RunRecord } from '../src/journal.ts'

const outcome = { status: 'completed', output: null, text: '' } as const

function child(n: number, lineage: readonly string[] = []): RunRecord {
  const what = { role: 'r', session: 's', task: '', workspace: '/' }
  return { ...what, runId: `run-${n}`, startedAt: n, kin: { lineage, childKey: `k${n}` } }
}

test('all that run are listed, and of those that ended the newest; none of another parent, and none that is forgotten', async () => {
  const journal = new Journal(createMemoryStore({ schema: { version: 1, collections: journalCollections } }))
  const { kin: _none, ...orphan } = child(0)
  await journal.begin(orphan, [])
  await journal.begin(child(1, ['p']), [])
  await journal.begin({ ...child(1.5, ['p']), isStandIn: true }, [])
  for (let n = 2; n <= 1_003; n += 1) {
    await journal.begin(child(n), [])
    if (n !== 2) await journal.finish({ runId: `run-${n}`, epoch: 1 }, outcome, n, [])
  }
  const listed = journal.children.of(undefined)
  expect(listed).toHaveLength(1_000)
  expect(listed.slice(0, 2)).toEqual([
    { runId: 'run-2', key: 'k2', role: 'r', status: 'running' },
    { runId: 'run-5', key: 'k5', role: 'r', status: 'completed' },
  ])
  expect(listed.at(-1)).toMatchObject({ runId: 'run-1003' })
  expect(journal.children.of('p')).toEqual([{ runId: 'run-1', key: 'k1', role: 'r', status: 'running' }])
  await journal.forget('run-5', journal.ties('run-5'))
  expect(journal.children.of(undefined)[1]).toMatchObject({ runId: 'run-4' })
})
