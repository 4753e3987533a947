/** Later: at the end of this tick, or in the next turn of the loop. */

/** Calls back at the end of this tick. */
export function atEndOfTick(task: () => void): void {
  process.nextTick(task)
}

/** Calls back in the next turn of the loop, after what has come meanwhile was read. */
export function inNextTurn(task: () => void): void {
  setImmediate(task)
}
