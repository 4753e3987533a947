/** The runner's place in its event loop. */

/**
 * A message may need several turns from the kernel to whom it is for: out of the worker's socket into an embedded broker,
 * through it, and out of the runner's own socket.
 */
const turns = 8

/**
 * Runs a task after what has arrived meanwhile was read and passed on.
 *
 * @param task - what to run
 */
export function whenDrained(task: () => void): void {
  const wait = (left: number): void => void setImmediate(() => (left === 1 ? task() : wait(left - 1)))
  wait(turns)
}

/** Resolves in the next turn: whatever else waits for the event loop goes first. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
