/** Looks at a worker's memory from outside, while its run is bounded: a synchronous loop sends no heartbeats. */
import type { Clock, Timer } from '@greenroom/proto'

/** How often, in milliseconds. */
const everyMs = 1_000

/** What it needs. */
export interface MemoryWatchOptions {
  readonly clock: Clock
  /** The worker's process. */
  readonly pid: number
  /** Its resident memory, in MiB; undefined when it is gone. */
  readonly residentMb: (pid: number) => Promise<number | undefined>
  /** Called with what was found. */
  readonly onMemory: (rssMb: number) => void
}

/**
 * Starts to look.
 *
 * @param options - see {@link MemoryWatchOptions}
 * @returns what ends it
 */
export function watchMemory({ clock, pid, residentMb, onMemory }: MemoryWatchOptions): Disposable {
  let over = false
  let timer: Timer | undefined
  const look = async (): Promise<void> => {
    const rssMb = await residentMb(pid)
    if (over) return
    if (rssMb !== undefined) onMemory(rssMb)
    wait()
  }
  const wait = (): void => {
    if (!over) timer = clock.timer(everyMs, () => void look(), { background: true })
  }
  void look()
  return {
    [Symbol.dispose]() {
      over = true
      timer?.cancel()
    },
  }
}
