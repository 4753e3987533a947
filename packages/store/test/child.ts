/** Child processes of the tests: a program of `test/` that opens a store, run from its sources. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface Child {
  readonly pid: number | undefined
  /**
   * The next line of its output.
   *
   * @throws Error with what it wrote to stderr, when there is no more
   */
  line(): Promise<string>
  /** Kills it with SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export function startChild(program: string, ...args: string[]): Child {
  const path = fileURLToPath(new URL(program, import.meta.url))
  const child = spawn(process.execPath, ['--conditions=@greenroom/source', path, ...args])
  const closed = once(child, 'close')
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const line = async (): Promise<string> => {
    for (;;) {
      const end = output.indexOf('\n')
      if (end >= 0) {
        const next = output.slice(0, end)
        output = output.slice(end + 1)
        return next
      }
      if (child.stdout.closed) throw new Error(`The child has ended: ${errors}`)
      await Promise.race([once(child.stdout, 'data'), closed])
    }
  }
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await closed
  }
  return { pid: child.pid, line, kill, [Symbol.asyncDispose]: kill }
}

/** A receipt that `writer-program.ts` noted. */
export interface NotedReceipt {
  readonly n: number
  /** When, as of `process.hrtime.bigint()`. */
  readonly at: bigint
}

/** The receipts that were noted; a last line that was cut is left out. */
export function readReceipts(path: string): NotedReceipt[] {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => {
    const [n = '', at = ''] = line.split(' ')
    return { n: Number(n), at: BigInt(at) }
  })
}
