/**
 * A disk that takes its time, before it has something and before it says so: what is told too early is then told while
 * somebody can still be killed before it is true.
 */
import { openStore, storeWith, type Schema, type Store } from '@greenroom/store'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Chance } from '../chance.ts'

const slow = 0.15
const longestMs = 120

/**
 * Opens a database on it.
 *
 * @param dir - its folder
 * @param schema - its collections
 * @param chance - says when it is slow
 */
export async function openSlowStore(dir: string, schema: Schema, chance: Chance): Promise<Store> {
  const store = await openStore({ dir, schema })
  const pause = async (): Promise<void> => {
    if (chance.happens(slow)) await sleep(chance.between(0, longestMs))
  }
  let before: Promise<unknown> = Promise.resolve()
  return storeWith(store, {
    commit: async (batch, options) => {
      // In their order, as ever.
      const turn = before.then(pause)
      before = turn
      await turn
      await store.commit(batch, options)
      await pause()
    },
  })
}
