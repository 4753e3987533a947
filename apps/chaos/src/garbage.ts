/** Memory of a member that is looked at from outside. */

const everyMs = 5_000

/** Has V8 collect all garbage now and then: it has no need to while there is room, which looks like growth from outside. */
export function collectGarbage(): void {
  setInterval(() => {
    globalThis.gc?.()
  }, everyMs).unref()
}
