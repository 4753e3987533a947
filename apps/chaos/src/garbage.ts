/**
 * Loaded before a member's program, and in each of its threads: it collects all its garbage when it is told to (`SIGUSR2`), so
 * that what it holds can be told from what it would let go of.
 */
import { isMainThread } from 'node:worker_threads'

/** Each thread has a heap of its own, which nobody else can collect. */
const threads = new BroadcastChannel('garbage')

// The usual collection keeps a third of what it freed for what may come: that goes up and down by itself.
const collect = (): void => {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}

threads.addEventListener('message', collect)
if (isMainThread)
  process.on('SIGUSR2', () => {
    threads.postMessage('collect')
    collect()
  })
// It keeps no thread alive.
threads.unref()
