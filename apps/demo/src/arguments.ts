/** The command line: what it says, checked before anything starts. */
import { accessSync, constants, realpathSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, resolve } from 'node:path'
import { limits } from '@greenroom/proto'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { visible } from './file-name.ts'

/** What the command line asks for. */
export interface Arguments {
  /** The folder to survey: absolute, without symbolic links. */
  readonly root: string
  /** How many surveyors work at a time, 1 to 64. */
  readonly children: number
  /** How many generations of surveyors there may be: 1 when none has children, at most 5. */
  readonly depth: number
  /** How many times the folder is surveyed, 1 to 100. */
  readonly repeat: number
  /** Where the JSON goes, absolute. */
  readonly json: string | undefined
  /** Whether questions are answered with yes. */
  readonly yes: boolean
}

/** What one line explains; the exit code is 2. */
export class BadInput extends Error {
  override readonly name = 'BadInput'
}

/**
 * Reads the command line.
 *
 * @param argv - without the program
 * @param base - what relative paths are relative to
 * @param standard - the folder to survey when none is named
 * @returns undefined when it asked for help, which is on standard output now
 * @throws BadInput
 */
export function readArguments(argv: readonly string[], base: string, standard: string): Arguments | undefined {
  const program = command()
  try {
    program.parse(argv, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return undefined
    throw error instanceof Error ? new BadInput(error.message.replace(/^error: /, '')) : error
  }
  const { children, depth, repeat, json, yes } = program.opts<{
    children: number
    depth: number
    repeat: number
    json?: string
    yes?: boolean
  }>()
  return {
    root: folder(program.args[0] ?? standard, base),
    children,
    depth,
    repeat,
    json: json === undefined ? undefined : writable(json, base),
    yes: yes === true,
  }
}

const DEPTH = 2
/** The first of them is a session of its own, and has depth 0. */
const DEEPEST = limits.depth + 1

const depthWords = `how many generations, 1 to ${DEEPEST}: whoever has the largest share splits it among children of its own`

function command(): Command {
  return new Command('npm start --')
    .description('Counts files, lines and bytes of a folder with a handful of child sessions.')
    .argument('[dir]', 'the folder to survey (this repository when left out)')
    .option('--children <n>', 'how many surveyors work at a time, 1 to 64', wholeNumber(64), defaultChildren())
    .option('--depth <n>', depthWords, wholeNumber(DEEPEST), DEPTH)
    .option('--repeat <n>', 'how many times, 1 to 100: from the second on workers are warm', wholeNumber(100), 1)
    .option('--json <file>', 'write the report there as JSON, too')
    .option('--yes', 'answer questions with yes: git log may be run')
    .showSuggestionAfterError(false)
    .configureOutput({ writeErr: () => {} })
    .exitOverride()
}

const defaultChildren = (): number => Math.min(8, Math.max(4, availableParallelism()))

const wholeNumber =
  (most: number) =>
  (value: string): number => {
    const number = Number(value)
    if (!/^\d+$/.test(value) || number < 1 || number > most)
      throw new InvalidArgumentError(`It is a whole number from 1 to ${most}.`)
    return number
  }

function folder(dir: string, base: string): string {
  if (dir === '') throw new BadInput('the folder has no name')
  const path = resolve(base, dir)
  try {
    if (!statSync(path).isDirectory()) throw new BadInput(`not a folder: ${visible(path)}`)
    accessSync(path, constants.R_OK | constants.X_OK)
    return realpathSync(path)
  } catch (error) {
    throw explained(error, path)
  }
}

function writable(file: string, base: string): string {
  if (file === '') throw new BadInput('the JSON file has no name')
  const path = resolve(base, file)
  const existing = statSync(path, { throwIfNoEntry: false })
  if (existing?.isDirectory() === true) throw new BadInput(`cannot write JSON there, it is a folder: ${visible(path)}`)
  try {
    accessSync(existing === undefined ? dirname(path) : path, constants.W_OK)
    if (existing === undefined && !statSync(dirname(path)).isDirectory())
      throw new BadInput(`not a folder: ${visible(dirname(path))}`)
    return path
  } catch (error) {
    throw explained(error, existing === undefined ? dirname(path) : path)
  }
}

const reasons = new Map<unknown, string>([
  ['ENOENT', 'no such folder'],
  ['ENOTDIR', 'not a folder'],
  ['EACCES', 'permission denied'],
  ['ELOOP', 'links that lead in a circle'],
  ['ENAMETOOLONG', 'name too long'],
])

function explained(error: unknown, path: string): Error {
  if (!(error instanceof Error) || !('code' in error)) return error instanceof Error ? error : new Error(String(error))
  return new BadInput(`${reasons.get(error.code) ?? String(error.code)}: ${visible(path)}`)
}
