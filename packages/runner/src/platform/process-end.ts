/** Whether a process of an earlier life of this program has ended. */
import { readFile } from 'node:fs/promises'

/**
 * Whether a process is still the one that it was.
 *
 * @param pid - its process id
 * @param since - when it was there, in milliseconds since the epoch: what was started later is another one
 */
export async function isSameProcess(pid: number, since: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch {
    // It is gone, or somebody else's by now.
    return false
  }
  const startedAt = await startOf(pid)
  return startedAt === undefined || startedAt <= since + slackMs
}

/** The kernel counts in hundredths of a second, and clocks are set. */
const slackMs = 2_000

/** When a process was started; undefined where that cannot be known. */
async function startOf(pid: number): Promise<number | undefined> {
  try {
    const [stat, uptime] = await Promise.all([readFile(`/proc/${pid}/stat`, 'utf8'), readFile('/proc/uptime', 'utf8')])
    // The name, in brackets, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z') return Infinity
    const bootedAt = Date.now() - Number(uptime.split(' ')[0]) * 1_000
    return bootedAt + (Number(fields[19]) / ticksPerSecond) * 1_000
  } catch {
    return undefined
  }
}

/** `sysconf(_SC_CLK_TCK)`, the same on every Linux. */
const ticksPerSecond = 100
