/** Commands that a shell has built in, whose words are no options and files. */
import { mayBeRoot, pathProblem } from './path.ts'
import type { Call, CommandCheck } from './rule.ts'
import type { Word } from './word.ts'

const unary = new Set([
  '-b',
  '-c',
  '-d',
  '-e',
  '-f',
  '-g',
  '-h',
  '-L',
  '-n',
  '-p',
  '-r',
  '-s',
  '-S',
  '-u',
  '-w',
  '-x',
  '-z',
])
const binary = new Set(['=', '!=', '-nt', '-ot', '-ef'])
const numeric = new Set(['-eq', '-ne', '-lt', '-le', '-gt', '-ge'])

/**
 * `test`: one condition. Not `-v` and `-R`, whose operand bash evaluates (`test -v 'a[$(id)]'`), and not `-a` and `-o`,
 * which shells read differently.
 */
export const conditionProblem: CommandCheck = (words) => {
  const found = words.find(({ pattern }) => pattern)
  if (found) return `${found.value} is a pattern: quote it`
  const values = words.map(({ value }) => value)
  const [first = '', second = '', third] = values[0] === '!' && values.length > 1 ? values.slice(1) : values
  const count = values.length - (values[0] === '!' && values.length > 1 ? 1 : 0)
  if (count === 1) return first.startsWith('-') ? `${first} has no operand` : undefined
  if (count === 2) return unary.has(first) ? pathProblem(second) : `${first} is no known condition`
  if (count === 3 && third !== undefined) return comparisonProblem(first, second, third)
  return 'only one condition at a time: join them by && and ||'
}

/** Some shells evaluate what they compare as numbers, and so run what is in it. */
function comparisonProblem(left: string, operator: string, right: string): string | undefined {
  if (binary.has(operator)) return undefined
  if (!numeric.has(operator)) return `${operator} is no known condition`
  const odd = [left, right].find((value) => !/^-?\d+$/.test(value))
  return odd === undefined ? undefined : `${odd} is no number`
}

/** `[ … ]`. */
export const bracketProblem: CommandCheck = (words) =>
  words.at(-1)?.value === ']' ? conditionProblem(words.slice(0, -1)) : 'the ] is missing'

/** `echo`: whatever it is given, it prints. */
export const echoProblem: CommandCheck = (words) => {
  for (const { value, pattern } of words) {
    const problem = pattern ? pathProblem(value) : undefined
    if (problem) return `${value} ${problem}`
  }
  return undefined
}

/** `printf`: not `-v NAME`, and not `%n`, with which bash sets a variable (and so PATH). */
export const printfProblem: CommandCheck = ([format, ...words]) => {
  if (format === undefined) return 'needs a format'
  const found = [format, ...words].find(({ pattern }) => pattern)
  if (found) return `${found.value} is a pattern: quote it`
  if (format.value.startsWith('-')) return `${format.value} is no format`
  const rest = format.value.replaceAll(/%(?:%|[-+ #0]*\d*(?:\.\d+)?[bcdeEfFgGiosuxX])/g, '')
  return rest.includes('%') ? `${format.value}: only simple conversions are known` : undefined
}

/** `cd`: into a folder that is named, since nothing else tells where the commands after it read. */
export function folderProblem({ operands: [folder] }: Call): string | undefined {
  if (folder === undefined) return undefined
  return goesNowhere(folder) ? `${folder.value}: name the folder` : undefined
}

const goesNowhere = ({ value }: Word): boolean => value === '-' || value === '' || mayBeRoot(value)
