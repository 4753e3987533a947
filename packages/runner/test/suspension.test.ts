/** What an attempt's end says that it waits for, and what was said in attempts that were suspended. */
import type { Message, Terminal } from '@greenroom/proto'
import { createMemoryStore } from '@greenroom/store'
import { expect, test } from 'vitest'
import type { AttemptEnd } from '../src/drive/index.ts'
import { entryOperation } from '../src/entry-journal.ts'
import { Journal, journalCollections } from '../src/journal.ts'
import { Suspensions, waitIn, waitOf } from '../src/suspension.ts'

test('what exceeded a limit is not suspended, whatever its last word', () => {
  const waitsFor = { runIds: ['c'], mode: 'any' } as const
  const suspended: Terminal = { runId: 'r', epoch: 1, status: 'suspended', lastSeq: 0, waitsFor }
  const ended = (terminal: Terminal): AttemptEnd => ({
    how: 'terminal',
    terminal,
    confirm: () => undefined,
    acknowledge: () => undefined,
  })
  expect(waitOf(ended(suspended))).toEqual(waitsFor)
  expect(waitOf({ ...ended(suspended), tripped: { which: 'total' } })).toBeUndefined()
  expect(waitOf(ended({ ...suspended, status: 'completed' }))).toBeUndefined()
  expect(waitOf({ how: 'lost', mayStillRun: false })).toBeUndefined()
  expect(waitOf({ how: 'unplaced' })).toBeUndefined()
})

test('who is suspended and names nobody waits for none', () => {
  expect(waitIn({ runId: 'r', epoch: 1, status: 'suspended', lastSeq: 0 })).toEqual({ runIds: [], mode: 'all' })
})

test('what was said in suspended attempts is there in order, and nothing of the others', async () => {
  const journal = new Journal(createMemoryStore({ schema: { version: 1, collections: journalCollections } }))
  const said = (content: string): Message => ({ role: 'assistant', content })
  for (const runId of ['r1', 'r2'])
    for (const epoch of [1, 2, 3])
      await journal.entries.put([
        entryOperation({ runId, epoch }, 1, { type: 'status', status: 'working' }),
        entryOperation({ runId, epoch }, 2, { type: 'message', message: said(`${runId} in ${epoch}`) }),
        entryOperation({ runId, epoch }, 3, { type: 'message', message: said(`${runId} in ${epoch}, too`) }),
      ])
  const suspensions = new Suspensions('r1', journal)
  expect(suspensions.messages).toEqual([])
  suspensions.add({ runId: 'r1', epoch: 3 })
  suspensions.add({ runId: 'r1', epoch: 1 })
  expect(suspensions.messages).toEqual(['r1 in 1', 'r1 in 1, too', 'r1 in 3', 'r1 in 3, too'].map(said))
})
