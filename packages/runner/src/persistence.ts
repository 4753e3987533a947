/**
 * Persistence: what storage could not take now is tried again, since one failure of a disk is not a run's end.
 *
 * - *P1* A commit whose fate is unknown is repeated with the same records until it holds: done twice it is done once.
 * - *P2* So is one that found no room. Only what brings something new (`reserve`) is refused, as `STORAGE_FULL`, and only
 *   while it is certain that nothing of it is stored.
 * - *P3* It ends with its caller's signal or time, and with the store (`CLOSED`); then the last failure is thrown, of what
 *   may be stored the unknown one.
 */
import { Stopwatch, type Clock } from '@greenroom/proto'
import { isStoreError, type CommitOptions, type Operation, type Store } from '@greenroom/store'
import { fromStore } from './store-error.ts'

/** Between two tries, in milliseconds. */
const retryMs = 200

/** How long something is tried (P3). */
export interface Patience {
  /** Ends it. = nobody does */
  readonly signal?: AbortSignal | undefined
  /** After so long, which this process noticed, no other try follows, in milliseconds. = Infinity */
  readonly withinMs?: number
  /** So many tries are made whatever else ends it. = 1 */
  readonly leastTries?: number
}

/** Some two seconds, whoever cancels: what has happened is worth that much. */
export const briefly: Patience = { withinMs: 0, leastTries: 10 }

/** The runner's database, as the parts that write see it: see P1 to P3. Reading throws `GreenroomError`s. */
export interface PatientStore extends Pick<Store, 'get' | 'scan' | 'keys'> {
  /**
   * As {@link Store.commit}, with patience.
   *
   * @throws StoreError `STORAGE_FULL`, `COMMIT_UNKNOWN`, `CLOSED`, `BAD_OPERATION`
   */
  commit(batch: readonly Operation[], options?: CommitOptions & Patience): Promise<void>
}

/**
 * Makes a store patient.
 *
 * @param store - where to
 * @param clock - measures the pauses
 */
export function patient(store: Store, clock: Clock): PatientStore {
  return {
    get: (collection, key) => reading(() => store.get(collection, key)),
    scan: (collection, range) => reading(() => store.scan(collection, range)),
    keys: (collection, range) => reading(() => store.keys(collection, range)),
    commit(batch, { reserve = false, ...patience } = {}) {
      let doubt: unknown
      const write = async (): Promise<void> => {
        try {
          // In doubt it may be there already: then there is nothing new in it.
          await store.commit(batch, { reserve: reserve && doubt === undefined })
        } catch (error) {
          if (isStoreError(error, 'COMMIT_UNKNOWN')) doubt = error
          throw isStoreError(error, 'STORAGE_FULL') ? (doubt ?? error) : error
        }
      }
      const mayHelp = (error: unknown): boolean =>
        isStoreError(error, 'COMMIT_UNKNOWN') || (!reserve && isStoreError(error, 'STORAGE_FULL'))
      return repeat(write, mayHelp, clock, patience)
    },
  }
}

/** What is read goes to users as it is. */
function reading<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw fromStore(error)
  }
}

/**
 * Does something until it works.
 *
 * @param act - what may be done more than once
 * @param mayHelp - whether doing it again may help after that error
 * @param clock - measures the pauses
 * @param patience - see P3
 * @throws what it threw last
 */
export async function repeat<T>(
  act: () => Promise<T>,
  mayHelp: (error: unknown) => boolean,
  clock: Clock,
  { signal, withinMs = Infinity, leastTries = 1 }: Patience,
): Promise<T> {
  const watch = new Stopwatch(clock, retryMs)
  for (let tries = 1; ; tries += 1) {
    const isOver = (): boolean => tries >= leastTries && (signal?.aborted === true || watch.read() >= withinMs)
    try {
      return await act()
    } catch (error) {
      if (!mayHelp(error) || isOver()) throw error
      await new Promise<void>((resolve) => void clock.timer(retryMs, resolve))
      // What follows an abandoned write must not be overtaken by it.
      if (isOver()) throw error
    }
  }
}
