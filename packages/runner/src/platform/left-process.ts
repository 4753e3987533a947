/** A process that an earlier life of this program started, and that is no child of this one. */
import { signalGroup } from '@greenroom/bus/process'
import type { Clock } from '@greenroom/proto'
import { isSameProcess } from './process-stamp.ts'

/** How often it is looked for, in milliseconds: nobody tells when it ends. */
const lookMs = 100

/** See the head of this file. */
export interface LeftProcess {
  /** Resolves when it is gone. Never rejects. */
  readonly exited: Promise<void>
  /** Signals it with all that it started, while it is there. */
  kill(signal: 'SIGTERM' | 'SIGKILL'): void
  /** Looks for it no more. */
  leave(): void
}

/**
 * Follows a process.
 *
 * @param pid - its id, which is its group's too
 * @param stamp - tells it from later ones with the same id
 * @param clock - measures when to look
 */
export function leftProcess(pid: number, stamp: string, clock: Clock): LeftProcess {
  const { promise: exited, resolve } = Promise.withResolvers<void>()
  let isLeft = false
  const look = (): void => {
    if (isLeft) return
    if (!isSameProcess(pid, stamp)) return resolve()
    clock.timer(lookMs, look, { background: true })
  }
  look()
  const kill = (signal: 'SIGTERM' | 'SIGKILL'): void => void (isSameProcess(pid, stamp) && signalGroup(pid, signal))
  return { exited, kill, leave: () => (isLeft = true) }
}
