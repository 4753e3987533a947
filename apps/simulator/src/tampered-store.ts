/** A store of which some methods do something else. */
import type { Store } from '@greenroom/store'

/**
 * Puts something between a store and whoever uses it.
 *
 * @param store - does all the rest
 * @param otherwise - what is done instead
 */
export function storeWith(store: Store, otherwise: Partial<Pick<Store, 'commit' | 'get'>>): Store {
  return {
    commit: (batch, options) => store.commit(batch, options),
    get: (collection, key) => store.get(collection, key),
    scan: (collection, range) => store.scan(collection, range),
    keys: (collection, range) => store.keys(collection, range),
    count: (collection, range) => store.count(collection, range),
    stats: () => store.stats(),
    backup: (path) => store.backup(path),
    close: () => store.close(),
    closed: store.closed,
    restoredFrom: store.restoredFrom,
    [Symbol.asyncDispose]: () => store.close(),
    ...otherwise,
  }
}
