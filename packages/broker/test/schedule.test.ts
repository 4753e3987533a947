/**
 * Power cuts and lying disks, by the hundred: the core over the store's twin, under schedules drawn from seeds.
 *
 * A checker that never complains proves nothing, so each kind of receipt is also given before its commit: the checker
 * has to notice.
 */
import type { MemoryStore, Operation, Store } from '@greenroom/store'
import { describe, expect, test } from 'vitest'
import { World, type Tamper } from './schedule/world.ts'

const seeds = 500

test(
  `in ${seeds} schedules of power cuts and failing and lying commits every promise is kept`,
  { timeout: 120_000 },
  async () => {
    const found: string[] = []
    for (let seed = 1; seed <= seeds; seed += 1) {
      const violations = await World.run(seed)
      if (violations.length > 0) found.push(`seed ${seed}: ${violations.join('; ')}`)
    }
    expect(found).toEqual([])
  },
)

/** A store that says "committed" before it has committed, for some batches. */
function early(matches: (operation: Operation) => boolean): Tamper {
  return (store: MemoryStore): Store => {
    const commit: Store['commit'] = (batch, options) => {
      const committed = store.commit(batch, options)
      if (!batch.some(matches)) return committed
      committed.catch(() => {})
      return Promise.resolve()
    }
    return new Proxy(store, {
      get: (target, name) =>
        name === 'commit' ? commit : (Reflect.get(target, name)?.bind?.(target) ?? Reflect.get(target, name)),
    })
  }
}

const putsMessage = (operation: Operation): boolean => 'put' in operation && operation.put === 'message'
const putsReceipt =
  (...states: readonly string[]) =>
  (operation: Operation): boolean =>
    'put' in operation && operation.put === 'receipt' && states.some((state) => state === operation.meta['state'])

describe('a receipt before its commit is noticed', () => {
  const mutations: readonly (readonly [string, (operation: Operation) => boolean])[] = [
    ['send', putsMessage],
    ['ack', putsReceipt('acked')],
    ['claim', putsReceipt('claimed')],
    ['revoke', putsReceipt('withdrawn', 'revoked')],
  ]
  test.for(mutations)('%s', async ([, matches]) => {
    let noticed = 0
    let seed = 0
    while (noticed === 0 && seed < seeds) {
      seed += 1
      noticed = (await World.run(seed, early(matches))).length
    }
    expect(noticed).toBeGreaterThan(0)
    console.log(`noticed at seed ${seed}`)
  })
})
