/** The processes of a program under test, as the system sees them. */
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

interface Process {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

function all(): Process[] {
  const lines = execFileSync('ps', ['-A', '-ww', '-o', 'pid=,ppid=,stat=,args='], { encoding: 'utf8' }).split('\n')
  return lines.flatMap((line) => {
    const [, pid, parent, stat = '', command = ''] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? []
    return pid === undefined || stat.startsWith('Z') ? [] : [{ pid: Number(pid), parent: Number(parent), command }]
  })
}

/** All that a process has started, and they again. */
export function descendantsOf(pid: number | undefined): Process[] {
  const processes = all()
  const below = (parent: number): Process[] =>
    processes.filter((one) => one.parent === parent).flatMap((one) => [one, ...below(one.pid)])
  return pid === undefined ? [] : below(pid)
}

/** Who started a process. */
export function parentOf(pid: number): Process {
  const processes = all()
  const parent = processes.find((one) => one.pid === processes.find((child) => child.pid === pid)?.parent)
  if (parent === undefined) throw new Error(`nobody started ${pid}`)
  return parent
}

/** Which of these are left after a moment; a process with the same id but another command is another one. */
export async function leftOf(processes: readonly Process[], withinMs: number): Promise<string[]> {
  for (let waited = 0; ; waited += 100) {
    const now = all()
    const left = processes.filter((one) => now.some(({ pid, command }) => pid === one.pid && command === one.command))
    if (left.length === 0 || waited >= withinMs) return left.map(({ command }) => command)
    await sleep(100)
  }
}
