/** What another process of this machine uses, seen from outside: one in a synchronous loop says nothing itself. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * The resident memory of a process.
 *
 * @param pid - its process id
 * @returns MiB; undefined when it is gone or cannot be looked at
 */
export async function residentMb(pid: number): Promise<number | undefined> {
  try {
    const kib = process.platform === 'linux' ? await fromProc(pid) : await fromPs(pid)
    return Number.isFinite(kib) ? Math.round(kib / 1_024) : undefined
  } catch {
    return undefined
  }
}

/** In KiB there, while `statm` counts pages, whose size Node does not tell. A process that has ended has no such line. */
async function fromProc(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN)
}

async function fromPs(pid: number): Promise<number> {
  const { stdout } = await run('ps', ['-o', 'rss=', '-p', String(pid)])
  return stdout.trim() === '' ? Number.NaN : Number(stdout)
}
