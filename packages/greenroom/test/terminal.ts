/** A real terminal for a program under test: `script` gives it one. */
import { spawn } from 'node:child_process'

/** How a program in a terminal ended. */
export interface TerminalEnd {
  /** All that was to be seen, with what was typed. */
  readonly seen: string
  readonly code: number | null
}

/**
 * Runs a shell command in a terminal of its own.
 *
 * @param command - what the shell runs
 * @param lines - typed one by one, each at the next prompt; null closes the terminal, false says nothing
 * @param options - where
 */
export async function inTerminal(
  command: string,
  lines: readonly (string | null | false)[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<TerminalEnd> {
  const child = spawn('script', ['-qec', command, '/dev/null'], options)
  let seen = ''
  let answered = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    seen += text
    if (seen.split('or [n]o?').length - 1 <= answered || answered >= lines.length) return
    const line = lines[answered]
    answered += 1
    if (line === false) return
    // Ctrl+D at the beginning of a line is the end of what is typed.
    child.stdin.write(line === null ? '\u0004' : `${line}\r`)
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { seen, code }
}
