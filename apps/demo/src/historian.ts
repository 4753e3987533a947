/**
 * The historian: the executor that tells a folder's past. Its `git log` is a gated call: somebody has to allow it.
 *
 * - *H1* It asks only where there is something to tell. Where there is not it says so, and has not failed.
 * - *H2* What runs is what was approved, to the letter.
 */
import { defineExecutor, type RunContext } from 'greenroom/worker'
import { history, HistoryBuilder, logArguments } from './history.ts'

/** How often it tells how far it is, in commits. */
const STEP = 1_000

/** Nothing is fetched, and nobody is asked for a password. */
const env = { GIT_ALLOW_PROTOCOL: 'none', GIT_NO_LAZY_FETCH: '1', GIT_TERMINAL_PROMPT: '0' }

/** Tells the past of its workspace; fails with `DENIED` when it may not, and `GIT_FAILED` when git cannot. */
export const historian = defineExecutor({
  version: '1',
  output: history,
  async run({ workspace }, ctx) {
    await ctx.emit({ type: 'progress', done: 0 })
    const look = (...args: string[]): Promise<Ran> => git(ctx, ['-c', 'safe.directory=*', 'rev-parse', ...args])
    // H1
    const where = await look('--is-inside-work-tree', '--show-prefix')
    if (where.isMissing) return { output: { none: 'git is not installed' } }
    if (where.code !== 0 || where.lines[0] !== 'true') return { output: { none: 'it is not in a git work tree' } }
    const isTop = (where.lines[1] ?? '') === ''
    if ((await look('--verify', '--quiet', 'HEAD:./')).code !== 0)
      return { output: { none: 'nothing of it is committed' } }

    const call = { tool: 'git', permission: 'execute', resource: workspace, input: { args: logArguments(isTop) } }
    const answer = await ctx.approve(call)
    if (!answer.allowed) return ctx.fail('DENIED', answer.reason)
    const builder = new HistoryBuilder()
    // H2
    const { code, problem } = await git(ctx, answer.input.args, async (line) => {
      if (builder.add(line) && builder.commits % STEP === 0) await ctx.emit({ type: 'progress', done: builder.commits })
    })
    if (code !== 0) return ctx.fail('GIT_FAILED', problem)
    return { output: builder.told() ?? { none: 'git shows no commit' } }
  },
})

/** How git ended. */
interface Ran {
  readonly code: number | null
  readonly isMissing: boolean
  /** What it wrote, where nobody else took it. */
  readonly lines: readonly string[]
  /** The first line of its complaint. */
  readonly problem: string
}

async function git(ctx: RunContext, args: readonly string[], take?: (line: string) => unknown): Promise<Ran> {
  const program = ctx.spawn('git', args, { env })
  program.stdin.end()
  const lines: string[] = []
  let problem = ''
  program.stderr.setEncoding('utf8').on('data', (text: string) => (problem = `${problem}${text}`.slice(0, 1_000)))
  let rest = ''
  for await (const chunk of program.stdout.setEncoding('utf8')) {
    const whole = `${rest}${String(chunk)}`.split('\n')
    rest = whole.pop() ?? ''
    for (const line of whole)
      if (take === undefined) lines.push(line)
      else await take(line)
  }
  const { code, signal, error } = await program.exited
  const [first = ''] = problem.split('\n')
  const how = signal === null ? `git ended with code ${code}` : `git was ended by ${signal}`
  return {
    code,
    isMissing: error?.code === 'COMMAND_NOT_FOUND',
    lines,
    problem: error?.message ?? (first === '' ? how : first),
  }
}
