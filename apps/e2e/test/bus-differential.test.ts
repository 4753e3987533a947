/** The bus in memory is the model of the broker: whatever is done to both, both say and deliver the same. */
import { createBroker } from '@greenroom/broker'
import { createMemoryBus } from '@greenroom/bus'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createManualClock } from '@greenroom/bus/testing'
import { Stage, type Deed } from './bus-differential/stage.ts'

const address = fc.constantFrom('office', 'desk', 'worker.1', 'worker.2')
const life = fc.integer({ min: 1, max: 2 })
const by = fc.nat(3)
const id = fc.constantFrom('m1', 'm2', 'm3', 'm4')
const often = <T>(weight: number, arbitrary: fc.Arbitrary<T>): fc.WeightedArbitrary<T> => ({ weight, arbitrary })

const message = {
  do: fc.constant('send'),
  by,
  to: address,
  text: fc.constantFrom('one', 'one', 'two'),
  control: fc.boolean(),
  kind: fc.constantFrom('run', 'note'),
}

const deed: fc.Arbitrary<Deed> = fc.oneof(
  often(4, fc.record({ do: fc.constant('attach'), address, life, credit: fc.integer({ min: 1, max: 3 }) })),
  often(8, fc.record({ ...message, id, ttlMs: fc.constant(undefined) })),
  // When exactly what has expired is forgotten is nobody's promise: it is sent once.
  often(2, fc.record({ ...message, kind: fc.constant('run'), id: fc.uuid(), ttlMs: fc.constant(1_000) })),
  often(1, fc.record({ do: fc.constant('publish'), by, to: address })),
  often(3, fc.record({ do: fc.constant('revoke'), by, to: address, id })),
  often(7, fc.record({ do: fc.constantFrom('ack', 'claim', 'nack', 'nack later'), by, delivery: fc.nat(5) })),
  often(1, fc.record({ do: fc.constant('fence'), by, address, life })),
  often(1, fc.record({ do: fc.constant('announce'), by, role: fc.constantFrom('actor', 'critic') })),
  often(1, fc.record({ do: fc.constant('watch'), by, role: fc.constantFrom('actor', 'critic') })),
  often(1, fc.record({ do: fc.constantFrom('drain', 'close'), by })),
  often(2, fc.record({ do: fc.constant('wait'), ms: fc.constantFrom(600, 1_200, 40_000) })),
)

test('the same deeds have the same answers and the same deliveries', { timeout: 120_000 }, async () => {
  const answers = new Set<string>()
  await fc.assert(
    fc.asyncProperty(fc.array(deed, { maxLength: 60, size: 'max' }), async (deeds) => {
      const clocks = [createManualClock(), createManualClock()] as const
      await using model = createMemoryBus({ clock: clocks[0] })
      // Dead letters are beyond the core: nothing gets so far here.
      await using broker = await createBroker({ dir: null, clock: clocks[1], maxAttempts: 1_000 })
      const stages = [new Stage(model, clocks[0]), new Stage(broker.bus, clocks[1])] as const
      const opening: Deed[] = ['office', 'worker.1'].map((to) => ({ do: 'attach', address: to, life: 1, credit: 2 }))
      const history: string[] = []
      for (const each of [...opening, ...deeds]) {
        const [expected, actual] = await Promise.all([stages[0].act(each), stages[1].act(each)])
        history.push(`${JSON.stringify(each)} → ${expected}`)
        answers.add(expected.replace(/^\d+/, 'stored'))
        expect({ answer: actual, diaries: stages[1].diaries }, history.join('\n')).toEqual({
          answer: expected,
          diaries: stages[0].diaries,
        })
      }
    }),
    { numRuns: 1_000 },
  )
  // It was no empty talk.
  for (const answer of ['stored', 'stored again', 'claim', 'withdrawn', 'claimed', 'unknown'])
    expect(answers).toContain(answer)
  for (const code of ['ID_CONFLICT', 'MAILBOX_CLOSED', 'REVOKED', 'FENCED', 'REPLACED', 'CLOSED'])
    expect(answers).toContain(`refused: ${code}`)
})
