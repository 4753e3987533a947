import { resolve } from 'node:path'
import type { ProcessExit } from '@greenroom/bus/process'
import type { Readable } from 'node:stream'
import * as z from 'zod'
import type { RunContext } from './context.ts'
import { defineExecutor, type Executor } from './executor.ts'

/** How much of each output the result holds: its end, in characters. */
const tailLength = 64 * 1024
/** How much of standard error a failure's message holds. */
const messageLines = 10

/** What {@link command} is asked to run. */
export interface CommandInput {
  /** A name to look up in `PATH`, or a path; never read as a script. */
  readonly program: string
  /** = [] */
  readonly args?: readonly string[] | undefined
  /** Added to the worker's environment. It is stored with the run: no place for secrets. = {} */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** A relative one is one of the run's workspace. = the workspace */
  readonly cwd?: string | undefined
  /** Written to its standard input. = '' */
  readonly stdin?: string | undefined
  /** Exit codes that are no failure. = [0] */
  readonly okCodes?: readonly number[] | undefined
}

/** What became of a program that ended well. */
export interface CommandOutput {
  /** One of `okCodes`. */
  readonly exitCode: number
  /** The last 65,536 characters that it wrote to standard output. */
  readonly stdout: string
  /** The same of standard error. */
  readonly stderr: string
}

const commandInput = z.object({
  program: z.string().min(1),
  args: z.array(z.string()).default([]),
  env: z.record(z.string(), z.string()).default({}),
  cwd: z.string().optional(),
  stdin: z.string().default(''),
  okCodes: z.array(z.int()).default([0]),
})

const commandOutput = z.object({ exitCode: z.int(), stdout: z.string(), stderr: z.string() })

/**
 * Runs a program: its output comes as `tool-output-delta`s between a `tool-call` and a `tool-result`, as fast as the
 * reader takes it (a full window fills the pipe, and the program waits).
 *
 * Fails with `COMMAND_FAILED` when it ends with another code than `okCodes` or by a signal, with `COMMAND_NOT_FOUND`
 * when there is no such program or folder. A cancel ends its whole process group. It is over when the program has ended
 * and its outputs are closed: a daemon that it leaves behind must not keep them open.
 */
export const command: Executor<CommandInput, CommandOutput> = defineExecutor({
  version: '1',
  input: commandInput,
  output: commandOutput,
  lateBound: ['workspace', 'model', 'tools'],
  slots: 16,
  async run({ input, workspace }, ctx) {
    const { program: name, args, env, stdin, okCodes } = input
    const cwd = resolve(workspace, input.cwd ?? '')
    const call = 'command'
    await ctx.emit({ type: 'tool-call', id: call, tool: name, input: { args, cwd } })
    const program = ctx.spawn(name, args, { cwd, env })
    try {
      program.stdin.end(stdin)
      const [stdout, stderr, exit] = await Promise.all([
        relay(program.stdout, 'stdout', call, ctx),
        relay(program.stderr, 'stderr', call, ctx),
        program.exited,
      ])
      ctx.signal.throwIfAborted()
      const failure = failureOf(name, exit, okCodes, stderr)
      const { code, signal } = exit
      await ctx.emit({
        type: 'tool-result',
        id: call,
        output: { exitCode: code, signal },
        isError: failure !== undefined,
      })
      if (failure !== undefined || code === null) return ctx.fail(exit.error?.code ?? 'COMMAND_FAILED', failure ?? '')
      return { output: { exitCode: code, stdout, stderr } }
    } finally {
      await program.kill()
    }
  },
})

/** Passes output on as it comes; a character that is cut in two by a read is put together first. */
async function relay(output: Readable, stream: 'stdout' | 'stderr', id: string, ctx: RunContext): Promise<string> {
  let tail = ''
  for await (const chunk of output.setEncoding('utf8')) {
    const text = String(chunk)
    tail = (tail + text).slice(-tailLength)
    await ctx.emit({ type: 'tool-output-delta', id, text, stream })
  }
  // The cut may go through a character.
  return tail.replace(/^[\udc00-\udfff]/, '')
}

function failureOf(name: string, exit: ProcessExit, okCodes: readonly number[], stderr: string): string | undefined {
  const { code, signal, error } = exit
  if (error !== undefined) return error.message
  if (code !== null && okCodes.includes(code)) return undefined
  const how = code === null ? `was ended by ${signal}` : `ended with code ${code}`
  const last = stderr.trimEnd().split('\n').slice(-messageLines).join('\n')
  return last === '' ? `${name} ${how}` : `${name} ${how}: ${last}`
}
