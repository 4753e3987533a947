/** The two places of the event loop where work is put off to. */

/**
 * Runs a task at the end of this tick, before any input is read.
 *
 * @param task - what to run
 */
export function endOfTick(task: () => void): void {
  process.nextTick(task)
}

/**
 * Runs a task in the next turn of the event loop, after everything that waits on promises which are settled already.
 *
 * @param task - what to run
 */
export function nextTurn(task: () => void): void {
  setImmediate(task)
}
