/** What the kernel says about processes. */
import { readFileSync } from 'node:fs'

/** Whether a process is there and not a zombie. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^\d+ \(.*\) [ZX]/s.test(stat)
  } catch {
    return false
  }
}

/** Milliseconds until none of the processes is alive; rejects after `deadlineMs`, naming those that are. */
export async function untilGone(pids: readonly number[], deadlineMs: number): Promise<number> {
  const start = performance.now()
  for (;;) {
    const alive = pids.filter(isAlive)
    if (alive.length === 0) return performance.now() - start
    if (performance.now() - start > deadlineMs)
      throw new Error(`still alive after ${deadlineMs} ms: ${alive.join(', ')}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Resolves when a process has kept a core busy for ten checks in a row. */
export async function untilSpinning(pid: number): Promise<void> {
  const ticks = (): number => {
    const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')
    return Number(fields.split(' ')[11])
  }
  for (let busy = 0, before = ticks(); busy < 10;) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    const now = ticks()
    busy = now > before ? busy + 1 : 0
    before = now
  }
}
