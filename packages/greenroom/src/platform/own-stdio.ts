/** Standard input and output for a protocol alone. */
import { Writable } from 'node:stream'

/** What a protocol speaks through. */
export interface OwnStdio {
  /** Where it listens. */
  readonly input: NodeJS.ReadStream
  /** Where it speaks: nothing else reaches it. */
  readonly output: Writable
}

/**
 * Takes standard output for a protocol: whatever else the program writes there from now on (`console.log`, libraries, the user's
 * modules) goes to standard error.
 */
export function takeStdio(): OwnStdio {
  const { stdin: input, stdout, stderr } = process
  const write = stdout.write.bind(stdout)
  const output = new Writable({
    decodeStrings: false,
    write: (chunk: string | Uint8Array, _encoding, done) => void write(chunk, () => done()),
  })
  stdout.write = stderr.write.bind(stderr)
  return { input, output }
}

/** Calls back, once, when nobody speaks any more, or a signal says so. */
export function onGone(input: NodeJS.ReadStream, callback: () => void): void {
  let isGone = false
  const once = (): void => {
    if (isGone) return
    isGone = true
    callback()
  }
  input.on('end', once).on('close', once).on('error', once)
  // Nobody listens any more either.
  process.stdout.on('error', once)
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, once)
}

/** Ends the program, whatever the user's modules have open. */
export function endProgram(code: number): never {
  process.exit(code)
}
