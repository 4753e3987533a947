/**
 * The guard: a small `sh` that ends a process group when its owner is gone, however it went.
 *
 * It is blocked reading a pipe whose only writer is the owner, so a busy loop cannot starve it and `kill -9` of the
 * owner cannot skip it. It leads a session of its own: a signal to the owner's group or terminal does not reach it.
 *
 * - *G1* The guard is there before what it guards.
 * - *G2* The group's number comes by the pipe, never by the command line.
 * - *G3* The pipe's end is the only trigger: the owner died, or let go since its program ended; then what the program
 *   left behind in its group is ended too. The owner is the program itself where that outlives whoever started it.
 */
import { spawn } from 'node:child_process'
import { Socket } from 'node:net'
import type { Stream, Writable } from 'node:stream'

/** `$1` is how long it waits between TERM and KILL, in seconds. Works in any POSIX shell with a `sleep` of fractions. */
const script = `
trap '' HUP INT TERM
read -r group || exit 0
case "$group" in ''|0|1|*[!0-9]*) exit 1 ;; esac
read -r rest
kill -TERM "-$group" 2>/dev/null || exit 0
sleep "$1"
kill -KILL "-$group" 2>/dev/null
`

/** A guard that waits. */
export interface Guard {
  /** Tells it which process group to end. The write is done when this returns. */
  watch(group: number): void
  /** Lets it act: it ends whatever is left of the group, then itself. */
  release(): void
  /** Its pipe, for a process that is to have it too. */
  readonly pipe: Writable
  /** Leaves it to whoever else has its pipe: it acts when they are gone. */
  handOver(): void
}

/** An error of the operating system at the start of a process comes by an event; a process without id is one that failed. */
function ignore(): void {}

/**
 * Starts a guard.
 *
 * @param killAfterMs - how long the group may take after TERM
 * @returns undefined when the operating system would start none
 */
export function startGuard(killAfterMs: number): Guard | undefined {
  const child = spawn('/bin/sh', ['-c', script, 'greenroom-guard', String(killAfterMs / 1000)], {
    detached: true,
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.on('error', ignore)
  child.stdin.on('error', ignore)
  if (child.pid === undefined) return undefined
  child.unref()
  unref(child.stdin)
  return {
    watch: (group) => void child.stdin.write(`${group}\n`),
    release: () => void child.stdin.end(),
    pipe: child.stdin,
    // Closed without a shutdown, which would end the pipe for everybody. What was written is on its way already.
    handOver: () => void child.stdin.destroy(),
  }
}

/** Keeps a stream of a process from keeping this program alive. */
export function unref(stream: Stream): void {
  if (stream instanceof Socket) stream.unref()
}
