/** A store of which some methods do something else: for tests and the simulator. */
import type { Store } from './store.ts'

/**
 * Puts something between a store and whoever uses it.
 *
 * @param store - does all the rest
 * @param otherwise - what is done instead
 *
 * @example
 * ```ts
 * import { createMemoryStore, storeWith } from '@greenroom/store'
 *
 * const store = createMemoryStore({ schema: { version: 1, collections: ['messages'] } })
 * // Whoever is lent it does not close it.
 * const lent = storeWith(store, { close: () => Promise.resolve() })
 * await lent.close()
 * console.log(store.count('messages'))
 * ```
 */
export function storeWith(store: Store, otherwise: Partial<Pick<Store, 'commit' | 'get' | 'close'>>): Store {
  const close = otherwise.close ?? (() => store.close())
  return {
    commit: (batch, options) => store.commit(batch, options),
    get: (collection, key, options) => store.get(collection, key, options),
    scan: (collection, range) => store.scan(collection, range),
    keys: (collection, range) => store.keys(collection, range),
    count: (collection, range) => store.count(collection, range),
    stats: () => store.stats(),
    backup: (path) => store.backup(path),
    closed: store.closed,
    restoredFrom: store.restoredFrom,
    ...otherwise,
    close,
    [Symbol.asyncDispose]: close,
  }
}
