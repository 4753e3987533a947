/** Which process it is, beyond its id: ids are given again. */
import { readFileSync } from 'node:fs'

/**
 * Tells a process from every other one of this machine, over restarts of the machine and whatever its clock is set to.
 *
 * @param pid - its process id
 * @returns undefined when it has ended, or where the system does not say
 */
export function processStamp(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name, in brackets, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z') return undefined
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${fields[19]}`
  } catch {
    return undefined
  }
}

/**
 * Whether a process is still there.
 *
 * @param pid - its process id
 * @param stamp - what it was known by; undefined where the system does not say: then any process with that id counts
 */
export function isSameProcess(pid: number, stamp: string | undefined): boolean {
  if (stamp !== undefined) return processStamp(pid) === stamp
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
