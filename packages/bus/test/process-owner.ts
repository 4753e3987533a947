/**
 * An owner of guarded processes, to be killed by kill -9 (it ignores TERM): starts what its argument says, prints the process ids, then waits.
 *
 * The argument is JSON: a list of `{ command, args, … }` for `spawnGuarded`, or `{ plain: [command, …args] }` for a
 * process without a guard. With a second argument it dies by kill -9 in the middle of the first start: right before it
 * writes that text to a pipe.
 */
import { spawn } from 'node:child_process'
import { Socket } from 'node:net'
import { spawnGuarded } from '@greenroom/bus/process'

interface Start {
  readonly plain?: readonly string[]
  readonly command?: string
  readonly args?: readonly string[]
  readonly killAfterMs?: number
  readonly lifeline?: boolean
  readonly output?: string
}

const starts: Start[] = JSON.parse(process.argv[2] ?? '[]')
const fatal = process.argv[3]
const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' }

/** Dies instead of writing the fatal text. */
function guardPipe(name: 'write' | 'end'): void {
  const original: Function = Socket.prototype[name]
  Reflect.set(Socket.prototype, name, function (this: Socket, ...args: unknown[]) {
    if (typeof args[0] === 'string' && new RegExp(fatal ?? '^$').test(args[0])) process.kill(process.pid, 'SIGKILL')
    return Reflect.apply(original, this, args)
  })
}
if (fatal !== undefined) {
  guardPipe('write')
  guardPipe('end')
}

const pids = starts.map(({ plain, command = 'sleep', ...options }) => {
  if (plain !== undefined) {
    const [program = 'sleep', ...args] = plain
    return spawn(program, args, { detached: true, stdio: 'ignore' }).pid
  }
  const child = spawnGuarded({ command, ...options, env })
  child.stdout.pipe(process.stdout)
  child.stderr.resume()
  return child.pid
})
console.log(JSON.stringify(pids))
process.on('SIGTERM', () => {})
setInterval(() => {}, 1_000)
