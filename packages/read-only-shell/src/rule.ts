/**
 * What a command may be called with: the rules of the allowlist, and how they are applied.
 *
 * Whatever a rule does not name is refused. Options must be written out as the rule spells them: programs accept
 * abbreviations (`--outp=x`), so a list of what is forbidden would never be complete.
 */
import { pathProblem } from './path.ts'
import { Refusal } from './refusal.ts'
import { quote, type Word } from './word.ts'

/** Judges all words behind the command's name. Returns why the call is refused, or `undefined` when it may run. */
export type CommandCheck = (words: readonly Word[]) => string | undefined

/** A call, taken apart by the options that its form names. */
export interface Call {
  /** The options that were given, by their name (`-n`, `--max-count`), each as often as it was given. */
  readonly options: readonly string[]
  /** What is not an option and no option's value. */
  readonly operands: readonly Word[]
}

/** The operands that a command may have. */
export interface Operands {
  /** At least so many; default 0. */
  readonly min?: number
  /**
   * At most so many; default any number. With it no patterns are accepted, since how many files match is not known, and
   * options must stand before the operands, since some programs take what follows the first one for more of them.
   */
  readonly max?: number
  /** The first so many are text and not paths; default 0. They must not be patterns. */
  readonly text?: number
  /** With one of these options `text` is 0: they say already what the text would. */
  readonly textBy?: readonly string[]
}

/** A command as most programs have it: options first or between, then operands; `--` ends the options. */
export interface CommandForm {
  /**
   * The options, separated by blanks: `-n` takes no value, `-n=` takes any, `-n=path` a path, `-n=next` any that is the
   * next word, `--color[=]` one that is attached or none, and `-NUM` stands for `-1`, `-20` and so on. Options of one
   * letter may be written together, and a value may be attached: say `=next` where a program would take it for more
   * options (`tree -Lo 1 x` writes a file).
   */
  readonly options?: string
  /** Options of one letter may not be written together: the program reads no more than the first of them. */
  readonly lone?: boolean
  /** Options that are accepted as the only word, separated by blanks; default `--help --version`. */
  readonly alone?: string
  /** Its operands; default any number of paths. */
  readonly operands?: Operands
  /** Judges what the other fields accepted: returns why it is refused, or nothing. */
  readonly check?: (call: Call) => string | undefined
  /** Words that are put behind the name (or the subcommand) when it runs, to make it safe. */
  readonly add?: readonly string[]
  /** Variables that are set for it when it runs. */
  readonly environment?: Readonly<Record<string, string>>
  /** The first operand is one of these, and the rest is judged by its form. `operands` and `check` do not count then. */
  readonly subcommands?: Readonly<Record<string, CommandForm>>
  /** Of a subcommand: what must not succeed before it, in this order. */
  readonly unless?: readonly Hindrance[]
}

/** A question that is asked when the command line runs. If the answer is yes, the subcommand does not run. */
export interface Hindrance {
  /** The words of a call of the same program; the options before the subcommand are put before them. It succeeds for yes. */
  readonly call: readonly string[]
  /** What is then printed to the standard error instead; the subcommand counts as failed. */
  readonly says: string
}

/** What is allowed of one command. */
export type CommandRule = CommandCheck | CommandForm

type OptionKind = 'flag' | 'text' | 'path' | 'next' | 'optional'

/** A form with its options taken apart. */
interface Prepared {
  readonly name: string
  readonly form: CommandForm
  readonly kinds: ReadonlyMap<string, OptionKind>
  readonly subcommands: ReadonlyMap<string, Prepared>
}

/** Writes a call for the shell, or refuses it. */
export type Judge = (words: readonly Word[]) => string

const spelling = /^(-NUM|-[A-Za-z0-9]|--[a-z0-9][a-z0-9-]*)(=|=path|=next|\[=\])?$/
const kindOf: Readonly<Record<string, OptionKind>> = {
  '': 'flag',
  '=': 'text',
  '=path': 'path',
  '=next': 'next',
  '[=]': 'optional',
}

function optionKinds(name: string, options = ''): Map<string, OptionKind> {
  const kinds = new Map<string, OptionKind>()
  for (const token of options.split(/\s+/).filter(Boolean)) {
    const [, option, suffix = ''] = spelling.exec(token) ?? []
    const kind = kindOf[suffix]
    if (option === undefined || kind === undefined) throw new TypeError(`the rule of ${name} has no option ${token}`)
    kinds.set(option, kind)
  }
  return kinds
}

function prepare(name: string, form: CommandForm): Prepared {
  const subcommands = Object.entries(form.subcommands ?? {})
  return {
    name,
    form,
    kinds: optionKinds(name, form.options),
    subcommands: new Map(subcommands.map(([word, sub]) => [word, prepare(`${name} ${word}`, sub)])),
  }
}

/**
 * Makes a rule ready for use.
 * @throws TypeError when an option of the rule is not spelled as one.
 */
export function judgeOf(name: string, rule: CommandRule): Judge {
  if (typeof rule !== 'function') {
    const prepared = prepare(name, rule)
    return (words) => judgeForm(prepared, words)
  }
  return (words) => {
    const problem = rule(words)
    if (problem !== undefined) throw new Refusal(`${name}: ${problem}`, words[0]?.at)
    return [name, ...words.map(({ code }) => code)].join(' ')
  }
}

/** Words for the shell: those of a rule are quoted, those of the text know how they are written. */
const written = (words: readonly (string | Word)[]): string =>
  words.map((word) => (typeof word === 'string' ? quote(word) : word.code)).join(' ')

const needsQuotes = (values: Readonly<Record<string, string>> = {}): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value === '' ? '' : quote(value)} `)
    .join('')

/** The call as it was typed, taken apart. `rest` begins with the subcommand. */
interface Split extends Call {
  readonly typed: readonly Word[]
  readonly rest: readonly Word[]
}

function split({ name, form, kinds, subcommands }: Prepared, words: readonly Word[]): Split {
  const options: string[] = []
  const operands: Word[] = []
  let ended = false
  let index = 0
  for (; index < words.length; index += 1) {
    const word = words[index]
    if (word === undefined) break
    if (ended || !word.value.startsWith('-') || word.value === '-') {
      if (subcommands.size > 0) break
      operands.push(word)
    } else if (word.value === '--' && (operands.length === 0 || form.operands?.max === undefined)) {
      ended = true
    } else {
      if (operands.length > 0 && form.operands?.max !== undefined) {
        throw new Refusal(`${name}: option ${word.value} must stand before the operands`, word.at)
      }
      const found = optionsIn(name, kinds, word)
      if (form.lone === true && found.names.length > 1)
        throw new Refusal(`${name}: write the options of ${word.value} one by one`, word.at)
      options.push(...found.names)
      if (!found.open) continue
      index += 1
      checkValue(name, found, words[index], word)
    }
  }
  return { options, operands, typed: words.slice(0, index), rest: words.slice(index) }
}

interface Found {
  readonly names: readonly string[]
  readonly kind: OptionKind
  /** Whether the value is the next word. */
  readonly open: boolean
}

function checkValue(name: string, found: Found, value: Word | undefined, option: Word): void {
  if (value === undefined) throw new Refusal(`${name}: ${option.value} needs a value`, option.at)
  // A program that takes the option for one without a value would read it as an option of its own.
  if (value.value.startsWith('-') && value.value !== '-') {
    throw new Refusal(`${name}: attach the value ${value.value} to its option`, value.at)
  }
  if (value.pattern) throw new Refusal(`${name}: ${value.value} is a pattern: quote it`, value.at)
  const problem = found.kind === 'path' ? pathProblem(value.value) : undefined
  if (problem) throw new Refusal(`${name}: ${value.value} ${problem}`, value.at)
}

function checkAttached(name: string, kind: OptionKind, value: string, word: Word): void {
  const problem = kind === 'path' ? pathProblem(value) : undefined
  if (problem) throw new Refusal(`${name}: ${word.value} ${problem}`, word.at)
}

function optionsIn(name: string, kinds: ReadonlyMap<string, OptionKind>, word: Word): Found {
  const { value, at } = word
  const unknown = (option: string): Refusal => new Refusal(`${name}: option ${option} is not on the allowlist`, at)
  if (value.startsWith('--')) {
    const cut = value.indexOf('=')
    const option = cut < 0 ? value : value.slice(0, cut)
    const kind = kinds.get(option)
    if (kind === undefined) throw unknown(option)
    if (cut >= 0 && kind === 'flag') throw new Refusal(`${name}: ${option} takes no value`, at)
    if (cut >= 0) checkAttached(name, kind, value.slice(cut + 1), word)
    return { names: [option], kind, open: cut < 0 && kind !== 'flag' && kind !== 'optional' }
  }
  if (/^-\d+$/.test(value) && kinds.has('-NUM')) return { names: ['-NUM'], kind: 'flag', open: false }
  const names: string[] = []
  for (let index = 1; index < value.length; index += 1) {
    const option = `-${value.charAt(index)}`
    const kind = kinds.get(option)
    if (kind === undefined) throw unknown(value.length === 2 ? option : `${option} (in ${value})`)
    names.push(option)
    if (kind === 'flag') continue
    const attached = value.slice(index + 1)
    if (kind === 'next' && attached !== '') throw new Refusal(`${name}: ${option} takes the next word as its value`, at)
    checkAttached(name, kind, attached, word)
    return { names, kind, open: attached === '' && kind !== 'optional' }
  }
  return { names, kind: 'flag', open: false }
}

function checkOperands(name: string, { min = 0, max, text = 0, textBy = [] }: Operands, call: Call): void {
  const { operands, options } = call
  const texts = textBy.some((option) => options.includes(option)) ? 0 : text
  const extra = max === undefined ? undefined : operands[max]
  if (extra) throw new Refusal(`${name}: ${extra.value} is one operand too many`, extra.at)
  if (operands.length < min) throw new Refusal(`${name}: needs ${min === 1 ? 'an operand' : `${min} operands`}`)
  for (const [index, { value, pattern, at }] of operands.entries()) {
    const isText = index < texts
    if (pattern && (isText || max !== undefined)) throw new Refusal(`${name}: ${value} is a pattern: quote it`, at)
    const problem = isText ? undefined : pathProblem(value)
    if (problem) throw new Refusal(`${name}: ${value} ${problem}`, at)
  }
}

const isAlone = ({ alone = '--help --version' }: CommandForm, words: readonly Word[]): boolean =>
  words.length === 1 && alone.split(' ').includes(words[0]?.value ?? '')

function judgeForm(prepared: Prepared, words: readonly Word[]): string {
  const { name, form, subcommands } = prepared
  const before = needsQuotes(form.environment)
  const program = [name, ...(form.add ?? [])]
  if (isAlone(form, words)) return before + written([...program, ...words])
  const call = split(prepared, words)
  if (subcommands.size > 0) return judgeSubcommand(prepared, call, before + written([...program, ...call.typed]))
  judgeCall(prepared, call)
  return before + written([...program, ...words])
}

function judgeCall({ name, form }: Prepared, call: Call): void {
  checkOperands(name, form.operands ?? {}, call)
  const problem = form.check?.(call)
  if (problem !== undefined) throw new Refusal(`${name}: ${problem}`, call.operands[0]?.at)
}

function judgeSubcommand({ name, subcommands }: Prepared, { rest }: Split, program: string): string {
  const [word, ...words] = rest
  if (word === undefined) throw new Refusal(`${name}: needs a subcommand`)
  const sub = subcommands.get(word.value)
  if (sub === undefined || word.pattern) throw new Refusal(`${name}: ${word.value} is not on the allowlist`, word.at)
  judgeCall(sub, split(sub, words))
  const line = `${program} ${written([word.value, ...(sub.form.add ?? []), ...words])}`
  const unless = sub.form.unless ?? []
  if (unless.length === 0) return line
  const branches = unless.map(
    ({ call, says }) => `if ${program} ${written(call)} >/dev/null 2>&1; then echo ${quote(says)} >&2; false; el`,
  )
  return `${branches.join('')}se ${line}; fi`
}
