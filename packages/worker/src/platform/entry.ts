/**
 * The edges of a worker process: arguments, standard input, lifeline, signals, exit (PROTOCOL.md §8).
 */
import { fstatSync } from 'node:fs'
import { Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { GreenroomError, type Provision } from '@greenroom/proto'
import { writeLine } from './system.ts'

/** The fixed last argument by which a spawner says: this process is a worker. */
const workerFlag = '--greenroom-worker'

/** The lifeline's file descriptor. */
const lifelineFd = 3

/** Whether this process was spawned as a worker. */
export function isWorkerProcess(): boolean {
  return process.argv.at(-1) === workerFlag
}

/**
 * Keeps what is new in the young generation. V8 places what a line of code makes among the old objects once nearly all
 * of the first hundred were found alive, which events on their way to the runner are; all that come later are then
 * collected late. One flood in seven grew by 35 MiB instead of 10. Not among Node's arguments: a Node that does not know
 * the flag would not start, and here only says so.
 */
export function keepYoung(): void {
  setFlagsFromString('--no-allocation-site-pretenuring')
}

/**
 * Reads standard input to its end.
 *
 * @param maxBytes - more than this is refused at once
 * @throws GreenroomError `SPEC_TOO_LARGE`
 */
export async function readInput(maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of process.stdin) {
    if (!(chunk instanceof Uint8Array)) continue
    size += chunk.length
    if (size > maxBytes) throw new GreenroomError('SPEC_TOO_LARGE', `more than ${maxBytes} bytes on standard input`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/**
 * Calls back once when the owner of this process is gone. Does nothing in a process that was given no lifeline.
 *
 * @param onEnd - called then
 */
export function watchLifeline(onEnd: () => void): void {
  if (!isPipe(lifelineFd)) return
  const lifeline = new Socket({ fd: lifelineFd, readable: true, writable: false })
  lifeline.on('error', () => {})
  lifeline.once('close', onEnd)
  lifeline.resume()
  lifeline.unref()
}

/** A descriptor that was not given may be one of Node's own by now: those that are read are never pipes or sockets. */
function isPipe(fd: number): boolean {
  try {
    const stat = fstatSync(fd)
    return stat.isFIFO() || stat.isSocket()
  } catch {
    return false
  }
}

/**
 * Calls back for every signal that asks this process to end.
 *
 * @param onSignal - called with 1 for a first SIGTERM, and with a higher number for every further one and for SIGINT
 */
export function onTermination(onSignal: (count: number) => void): void {
  let count = 0
  process.on('SIGTERM', () => onSignal((count += 1)))
  process.on('SIGINT', () => onSignal((count += 2)))
}

/**
 * Calls back for an error that nothing caught: nobody can say any more in what state this process is.
 *
 * @param onError - called with the error
 */
export function onCrash(onError: (error: unknown) => void): void {
  process.on('uncaughtException', onError)
}

/**
 * Tells the supervisor of a resident worker that it is attached: one line on standard error.
 *
 * @param provision - who it is
 */
export function sayReady({ address, incarnation }: Pick<Provision, 'address' | 'incarnation'>): void {
  writeLine(`greenroom-ready ${JSON.stringify({ address, incarnation })}`)
}

/**
 * Ends this process.
 *
 * @param code - 0 in order, 3 fenced, 70 crashed, 78 refused its document
 * @param error - told on the last line of standard error
 */
export function leave(code: number, error?: { readonly code: string; readonly message: string }): never {
  if (error !== undefined) writeLine(`greenroom-error ${JSON.stringify({ code: error.code, message: error.message })}`)
  process.exit(code)
}
