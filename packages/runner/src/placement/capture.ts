/** What a worker writes: its last 64 KiB are kept, whole lines are passed on. Bounded, whatever it writes. */
import type { WorkerEnd } from './placement.ts'
import type { Readable } from 'node:stream'

const keepChars = 64 * 1024
const lineChars = 8 * 1024
const frameLine = /^\s+at \S|^Node\.js v\d/
const errorLine = /^greenroom-error (\{.*\})$/

/** The tail of a stream. */
export class Capture {
  /** Resolves when the stream has ended. */
  readonly ended: Promise<void>
  readonly #onLine: (line: string) => void
  #kept = ''
  #line = ''

  /**
   * @param stream - text in UTF-8
   * @param onLine - called with each line, without its end; a longer one than 8 KiB comes in pieces
   */
  constructor(stream: Readable, onLine: (line: string) => void) {
    this.#onLine = onLine
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ended = promise
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => this.#take(text))
    stream.on('error', () => undefined)
    stream.once('close', () => {
      if (this.#line !== '') this.#pass(this.#line)
      this.#line = ''
      resolve()
    })
  }

  /** The last lines that tell something, at most `count`: neither a stack's frames nor the line for the spawner. */
  lines(count: number): string[] {
    const tells = (line: string): boolean => line.trim() !== '' && !frameLine.test(line) && !errorLine.test(line)
    return this.#kept.split('\n').filter(tells).slice(-count)
  }

  /** What the worker said about its end (PROTOCOL.md §8), if it did. */
  get error(): WorkerEnd['error'] {
    const line = this.#kept.split('\n').findLast((text) => errorLine.test(text))
    return line === undefined ? undefined : parseErrorLine(line)
  }

  #take(text: string): void {
    this.#kept = (this.#kept + text).slice(-keepChars)
    const lines = (this.#line + text).split('\n')
    this.#line = lines.pop() ?? ''
    for (const line of lines) this.#pass(line)
    while (this.#line.length > lineChars) {
      this.#pass(this.#line.slice(0, lineChars))
      this.#line = this.#line.slice(lineChars)
    }
  }

  #pass(line: string): void {
    if (!errorLine.test(line)) this.#onLine(line)
  }
}

function parseErrorLine(line: string): { code: string; message: string } | undefined {
  try {
    const error: unknown = JSON.parse(errorLine.exec(line)?.[1] ?? '')
    if (typeof error !== 'object' || error === null || !('code' in error) || !('message' in error)) return undefined
    return typeof error.code === 'string' && typeof error.message === 'string'
      ? { code: error.code, message: error.message }
      : undefined
  } catch {
    return undefined
  }
}
