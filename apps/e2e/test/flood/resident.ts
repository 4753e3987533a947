/** The resident memory of a process, as Linux counts it. */
import { readFileSync, writeFileSync } from 'node:fs'

/** How a process's memory grew, in MiB. */
export interface Growth {
  /** Before. */
  readonly baseMiB: number
  /** The most since then, to the page: not what a sample happened to see. */
  readonly peakMiB: number
}

function field(pid: string, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024
}

/**
 * Measures from now on.
 *
 * @param pid - a process of this user, or `self`
 * @returns called at the end, gives how it grew
 */
export function measureGrowth(pid: string): () => Growth {
  // Makes the kernel count the peak anew.
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
  const baseMiB = field(pid, 'VmRSS')
  return () => ({ baseMiB, peakMiB: field(pid, 'VmHWM') })
}
