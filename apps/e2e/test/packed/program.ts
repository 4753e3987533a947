/** Programs that tests start: run to their end, output kept. */
import { execFile, spawn } from 'node:child_process'

/** What a program left. */
export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end and returns how it ended, whatever that is. */
export function attempt(
  command: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<Ended> {
  return new Promise((resolve) => {
    const settings = { cwd: options.cwd, env: { ...process.env, ...options.env }, maxBuffer: 64 * 1024 * 1024 }
    execFile(command, args, settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ code, stdout, stderr: error !== null && stderr === '' ? error.message : stderr })
    })
  })
}

/** A real terminal for a program: `script` gives it one. The answer is typed when it asks; returns what was to be seen. */
export function inTerminal(
  command: string,
  answer: string,
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<string> {
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    ...options,
    env: { ...process.env, ...options.env },
  })
  let seen = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (!seen.includes('or [n]o?') && (seen + text).includes('or [n]o?')) child.stdin.write(`${answer}\r`)
    seen += text
  })
  return new Promise((resolve, reject) => {
    child.once('close', (code) => (code === 0 ? resolve(seen) : reject(new Error(`ended with ${code}: ${seen}`))))
  })
}

/** Runs a program that must succeed; returns what it printed. */
export async function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<string> {
  const ended = await attempt(command, args, options)
  if (ended.code !== 0)
    throw new Error(
      `${command} ${args.join(' ')} ended with ${ended.code}\n${ended.stdout.slice(-4000)}\n${ended.stderr.slice(-4000)}`,
    )
  return ended.stdout
}
