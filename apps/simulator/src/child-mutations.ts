/** Broken promises about children. */
import { decodeMessage, encodeMessage, type Bus, type Clock } from '@greenroom/proto'
import { Execution, PermitHolder, RunChildren } from '@greenroom/runner/testing'
import { storeWith, type Store } from '@greenroom/store'
import { sending } from './broken-bus.ts'
import type { Mutation } from './mutations.ts'
import { replaced } from './replaced.ts'

/** So long recording a suspension may take, in milliseconds. */
const recordingMs = 20

/** All of them. */
export const childMutations: readonly Mutation[] = [
  {
    name: 'lost-wake',
    says: 'what a parent waits for is looked at before its suspension is recorded, and then only listened for',
    isOfChildren: true,
    patch: (clock) =>
      replaced(
        RunChildren.prototype,
        'wait',
        (wait) =>
          function wakeless(this: RunChildren, ...asked) {
            return unlessMeanwhile(clock, wait.apply(this, asked))
          },
      ),
  },
  {
    name: 'kept-permit',
    says: 'who waits for children keeps its permit',
    isOfChildren: true,
    patch: () => replaced(PermitHolder.prototype, 'pause', () => () => () => Promise.resolve()),
  },
  {
    name: 'forgotten-key',
    says: 'a next life of the runner does not know what children were started',
    isOfChildren: true,
    store: (store, whose, life) => (whose === 'runner' && life > 1 ? forgetful(store) : store),
  },
  {
    name: 'dropped-outcomes',
    says: 'who is resumed is not told of the last of its children',
    isOfChildren: true,
    bus: (bus, who) => (who === 'runner' ? dropping(bus) : bus),
  },
  {
    name: 'no-cascade',
    says: 'children go on when their parent did not complete',
    isOfChildren: true,
    patch: () =>
      replaced(
        Execution.prototype,
        'cancel',
        (cancel) =>
          function cancelled(this: Execution, reason = 'cancelled') {
            return reason.startsWith('its parent ended as') ? this.outcome : cancel.call(this, reason)
          },
      ),
  },
]

/** What comes about at once counts, and what does after that time; what does meanwhile is never heard of. */
async function unlessMeanwhile<T>(clock: Clock, waiting: Promise<T>): Promise<T> {
  let isOver = false
  const over = (): void => void (isOver = true)
  waiting.then(over, over)
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve()
  if (isOver) return waiting
  await new Promise<void>((resolve) => void clock.timer(recordingMs, resolve))
  return isOver ? new Promise(() => undefined) : waiting
}

/** A store that has no keys of children. */
function forgetful(store: Store): Store {
  return storeWith(store, {
    get: (collection, key) => {
      const record = store.get(collection, key)
      const runId = collection === 'start' ? record?.meta['runId'] : undefined
      const isChild = typeof runId === 'string' && store.get('run', runId)?.meta['kin'] !== undefined
      return isChild ? undefined : record
    },
  })
}

function dropping(bus: Bus): Bus {
  return sending(bus, (send) => (message, waiting) => {
    if (message.kind !== 'run') return send(message, waiting)
    const { resumed, ...run } = decodeMessage('run', message.payload)
    if (resumed === undefined) return send(message, waiting)
    return send({ ...message, payload: encodeMessage('run', { ...run, resumed: resumed.slice(0, -1) }) }, waiting)
  })
}
