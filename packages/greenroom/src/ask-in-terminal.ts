/** Asks whoever sits at the terminal that the program was started from. */
import { createInterface } from 'node:readline/promises'
import { GreenroomError, type ApprovalScope } from '@greenroom/proto'
import type { Approval, DecideOptions, Verdict } from '@greenroom/runner'
import { plain } from './plain-text.ts'

/** Longer inputs are shown in part: what a person cannot read a person cannot judge. */
const maxShown = 4_000

const scopes: Readonly<Record<string, ApprovalScope>> = { y: 'once', r: 'run', s: 'session' }

/** One question at a time: the others wait. */
let before: Promise<unknown> = Promise.resolve()

/**
 * A person for `approvals.person`: shows on standard error what a run wants to do, and reads the answer from standard input.
 * Questions come one after the other; one that is decided meanwhile (its time is over, its run has ended, somebody answered
 * elsewhere) is taken back. What a run wrote is shown with all control characters spelled out. Ctrl-C is the program's SIGINT, and
 * denies where the program goes on.
 *
 * @param approval - what is asked
 * @param options - `signal`: takes the question back
 * @returns what was answered; an answer that is none of those offered is asked for again
 * @throws GreenroomError `CLOSED` where there is no terminal, or it was closed: which denies
 *
 * @example
 * ```ts
 * import { askInTerminal, createRunner } from 'greenroom'
 *
 * await using runner = await createRunner({
 *   worker: new URL('./worker.ts', import.meta.url),
 *   roles: { releaser: { executor: 'release' } },
 *   approvals: { person: askInTerminal },
 * })
 * ```
 */
export function askInTerminal(approval: Approval, { signal }: DecideOptions): Promise<Verdict> {
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    return Promise.reject(new GreenroomError('CLOSED', 'there is no terminal to ask in'))
  const asked = before.then(() => ask(approval, signal))
  before = asked.catch(() => undefined)
  return asked
}

async function ask(approval: Approval, signal: AbortSignal): Promise<Verdict> {
  signal.throwIfAborted()
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const closed = Promise.withResolvers<never>()
  closed.promise.catch(() => undefined)
  terminal.once('close', () => closed.reject(new GreenroomError('CLOSED', 'the terminal was closed')))
  // Reading a line, the terminal makes no signal of Ctrl-C.
  terminal.once('SIGINT', () => {
    terminal.close()
    process.kill(process.pid, 'SIGINT')
  })
  const taken = (): void => void process.stderr.write('\ndecided elsewhere\n')
  signal.addEventListener('abort', taken, { once: true })
  try {
    process.stderr.write(questionOf(approval))
    for (;;) {
      const line = await Promise.race([
        terminal.question('[y]es, for this [r]un, for this [s]ession, or [n]o? ', { signal }),
        closed.promise,
      ])
      const verdict = verdictOf(line)
      if (verdict !== undefined) return verdict
    }
  } finally {
    signal.removeEventListener('abort', taken)
    terminal.close()
  }
}

/** `y`, `r`, `s`, `n`, or the words; after `n` a reason may follow. */
function verdictOf(line: string): Verdict | undefined {
  const { word = '', reason = '' } = /^\s*(?<word>[a-z]+)\s*(?<reason>.*?)\s*$/i.exec(line)?.groups ?? {}
  const lower = word.toLowerCase()
  const known = ['yes', 'run', 'session', 'no'].find((one) => one === lower || one[0] === lower)
  if (known === undefined) return undefined
  if (known === 'no') return { allow: false, ...(reason === '' ? {} : { reason }) }
  return { allow: true, scope: scopes[known.charAt(0)] ?? 'once' }
}

function questionOf({ role, tool, permission, resource, input, workspace }: Approval): string {
  const text = JSON.stringify(input)
  const shown =
    text.length <= maxShown ? text : `${text.slice(0, maxShown)}… (${text.length - maxShown} more characters)`
  return [
    '',
    `${plain(role)} wants to use ${plain(tool)} (${plain(permission)}) on ${plain(resource)}`,
    `  with  ${plain(shown)}`,
    `  in    ${plain(workspace)}`,
    '',
  ].join('\n')
}
