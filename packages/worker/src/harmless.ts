/** All that is open fails when its run ends: what its executor does not await must not crash the worker then, with all its other runs. */
import type { Bridge } from '@greenroom/proto'
import type { ExecutorChildren } from './children.ts'

/**
 * The same call; when nobody awaits it, its failure is no unhandled rejection.
 *
 * @param call - what may fail
 */
export function harmless<T>(call: Promise<T>): Promise<T> {
  call.catch(() => undefined)
  return call
}

/** The same children, whose calls are {@link harmless}. */
export function harmlessChildren(children: ExecutorChildren): ExecutorChildren {
  return {
    spawn: (spec) => harmless(children.spawn(spec)),
    wait: (refs, options) => harmless(children.wait(refs, options)),
    ask: (ref, question, options) => harmless(children.ask(ref, question, options)),
    send: (ref, text, options) => harmless(children.send(ref, text, options)),
    cancel: (ref, reason) => harmless(children.cancel(ref, reason)),
    list: () => harmless(children.list()),
    onApproval: (decide) => children.onApproval(decide),
  }
}

/** The same bridge, whose calls are {@link harmless}. */
export function harmlessBridge(bridge: Bridge): Bridge {
  return {
    list: () => harmless(bridge.list()),
    call: (tool, input, options) => harmless(bridge.call(tool, input, options)),
  }
}
