/**
 * MCP over the standard input and output of a program that never outlives this one: `kill -9` of this process ends it, too.
 *
 * What it writes to standard error is kept as far as it may explain its end.
 */
import { spawnGuarded, type GuardedProcess, type ProcessExit } from '@greenroom/bus/process'
import type { Clock } from '@greenroom/proto'
import type { JSONRPCMessage, Transport } from '@modelcontextprotocol/client'

/** How long it may take to end, at each of: its input has ended, TERM; in milliseconds. */
const stepMs = 1_000

/** Once it has ended: how long whoever else has its output may keep it open, in milliseconds. */
const drainMs = 500

/** Characters of its last words. */
const maxTail = 500

const newline = 10

const toError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))

/** The program. */
export interface GuardedProgram {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** What of the SDK is needed: it is loaded only where it is used. */
export interface Codec {
  /** The longest message that the program may write, in bytes. */
  readonly maxMessage: number
  readonly parse: (line: string) => JSONRPCMessage
  readonly serialize: (message: JSONRPCMessage) => string
}

/** What could not be written never came to the program. */
class SendFailed extends Error {
  readonly code = 'SEND_FAILED'
}

/** See above. */
export class GuardedTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: (message: JSONRPCMessage) => void
  readonly #program: GuardedProgram
  readonly #codec: Codec
  readonly #clock: Clock
  readonly #log: ((text: string) => void) | undefined
  #process: GuardedProcess | undefined
  /** Of a line whose end has not come, in the order in which they came, and their length. */
  #parts: Buffer[] = []
  #length = 0
  #tail = ''
  #exit: ProcessExit | undefined
  #flaw: string | undefined

  /**
   * @param program - what to start
   * @param codec - of the SDK
   * @param clock - measures how long it takes to end
   * @param log - is given what it writes to standard error
   */
  constructor(program: GuardedProgram, codec: Codec, clock: Clock, log?: (text: string) => void) {
    this.#program = program
    this.#codec = codec
    this.#clock = clock
    this.#log = log
  }

  /** How it ended, for people; undefined while it runs. */
  get end(): string | undefined {
    if (this.#flaw !== undefined) return this.#flaw
    if (this.#exit === undefined) return undefined
    const { error, signal, code } = this.#exit
    if (error !== undefined) return error.message
    const how = signal === null ? `ended with code ${code ?? 0}` : `was ended by ${signal}`
    const words = this.#tail.trim()
    return words === '' ? how : `${how}: ${words}`
  }

  start(): Promise<void> {
    const { stdout, stderr, exited } = (this.#process = spawnGuarded({ ...this.#program, background: true }))
    stdout.on('data', (chunk: Buffer) => this.#read(chunk))
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#tail = `${this.#tail}${text}`.slice(-maxTail)
      this.#tell(text)
    })
    // What it said last may still be in the pipe.
    const read = Promise.withResolvers<void>()
    stdout.once('close', read.resolve)
    void exited.then(async (exit) => {
      this.#exit = exit
      const timer = this.#clock.timer(drainMs, read.resolve)
      await read.promise
      timer.cancel()
      this.onclose?.()
    })
    return Promise.resolve()
  }

  async send(message: JSONRPCMessage): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const written = (error: Error | null | undefined): void => (error ? reject(error) : resolve())
    this.#process?.stdin.write(this.#codec.serialize(message), written)
    await promise.catch((cause: unknown) => {
      throw new SendFailed(this.end ?? 'its standard input is closed', { cause })
    })
  }

  async close(): Promise<void> {
    if (this.#process === undefined) return
    const { stdin, kill, exited } = this.#process
    stdin.end()
    const timers = [
      this.#clock.timer(stepMs, () => kill('SIGTERM')),
      this.#clock.timer(2 * stepMs, () => kill('SIGKILL')),
    ]
    await exited
    for (const timer of timers) timer.cancel()
  }

  /** Others' code: what it throws is no reason to crash. */
  #tell(text: string): void {
    try {
      this.#log?.(text)
    } catch (error) {
      this.onerror?.(toError(error))
    }
  }

  /** Each byte is looked at once, however long the line is. */
  #read(chunk: Buffer): void {
    let from = 0
    for (let end = chunk.indexOf(newline); end !== -1 && this.#flaw === undefined; end = chunk.indexOf(newline, from)) {
      this.#keep(chunk.subarray(from, end))
      from = end + 1
      const line = Buffer.concat(this.#parts).toString()
      this.#parts = []
      this.#length = 0
      this.#take(line)
    }
    this.#keep(chunk.subarray(from))
  }

  #keep(part: Buffer): void {
    if (this.#flaw !== undefined) return
    this.#parts.push(part)
    this.#length += part.length
    const { maxMessage } = this.#codec
    if (this.#length <= maxMessage) return
    // Whoever waits for that message would do so in vain.
    this.#flaw = `a message exceeded the maximum size of ${maxMessage} bytes`
    this.#parts = []
    this.#process?.kill('SIGKILL')
  }

  /** What is no message of the protocol, such as a log line, holds up nothing behind it. */
  #take(line: string): void {
    if (this.#flaw !== undefined) return
    try {
      this.onmessage?.(this.#codec.parse(line))
    } catch (error) {
      this.onerror?.(toError(error))
    }
  }
}
