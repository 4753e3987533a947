/**
 * A word of the command line: what it means to the program, and how it is written again for the shell.
 *
 * The shell never sees the words as they were typed. Each is written anew from what was understood: a quoted literal,
 * a pattern whose first character is no dash, or one of three variables in double quotes. So a grammar that reads
 * some text differently from the real shell cannot make the shell run something that was not checked.
 */
import type { DoubleQuotedChild, Word as ParsedWord, WordPart } from 'unbash'
import { Refusal } from './refusal.ts'

/** One word of a command, as a rule gets to see it. */
export interface Word {
  /**
   * What the program gets, quotes and escapes taken off. Characters of a file name pattern stand for themselves;
   * `~`, `$HOME` and `$PWD` are shown as `/~`, an absolute path.
   */
  readonly value: string
  /** Whether the shell replaces it by the names of files that match. It never becomes a word that starts with a dash. */
  readonly pattern: boolean
  /** Where it starts in the text, in UTF-16 units from 0. */
  readonly at: number
  /** How it is written for the shell. */
  readonly code: string
}

/** Variables whose value is a path of the user's, or a number: neither can be a command or an option. */
const variables: ReadonlyMap<string, { readonly value: string; readonly code: string }> = new Map([
  ['HOME', { value: '/~', code: '"$HOME"' }],
  ['PWD', { value: '/~', code: '"$PWD"' }],
  ['?', { value: '0', code: '"$?"' }],
])

const refusedParts: Readonly<Record<string, string>> = {
  AnsiCQuoted: "$'…' means something else in sh",
  LocaleString: '$"…" means something else in sh',
  CommandExpansion: 'a command substitution runs another command',
  ProcessSubstitution: 'a process substitution runs another command',
  ArithmeticExpansion: 'arithmetic may run commands and set variables',
  ExtendedGlob: 'extended patterns mean something else in sh',
  BraceExpansion: 'braces mean something else in sh',
}

/** Writes a literal for the shell so that nothing in it has a meaning. */
export function quote(value: string): string {
  return /^(?:\]|[A-Za-z0-9_\-./:=,+@%]+)$/.test(value) ? value : `'${value.replaceAll("'", String.raw`'\''`)}'`
}

interface Piece {
  readonly value: string
  readonly code: string
  readonly kind: 'literal' | 'pattern' | 'variable'
}

const literal = (value: string): Piece => ({ value, code: quote(value), kind: 'literal' })

function refuse(part: { readonly type: string; readonly text: string; readonly pos: number }): never {
  throw new Refusal(`${part.text}: ${refusedParts[part.type] ?? 'not understood'}`, part.pos)
}

function variable(part: DoubleQuotedChild | WordPart): Piece {
  const name =
    part.type === 'SimpleExpansion'
      ? part.text.slice(1)
      : part.type === 'ParameterExpansion' && part.text === `\${${part.parameter}}`
        ? part.parameter
        : ''
  const known = variables.get(name)
  if (known === undefined) throw new Refusal(`${part.text}: what a variable holds is not known`, part.pos)
  return { ...known, kind: 'variable' }
}

/** `$[…]` is arithmetic in bash only, and literal to the grammar when it is not closed. */
function checkDollar(text: string, at: number): void {
  if (text.includes('$[')) throw new Refusal(`${text}: $[ means something else in sh`, at)
}

function quotedPiece(part: DoubleQuotedChild): Piece {
  if (part.type === 'Literal') {
    checkDollar(part.text, part.pos)
    return literal(part.value)
  }
  if (part.type === 'SimpleExpansion' || part.type === 'ParameterExpansion') return variable(part)
  return refuse(part)
}

function bareLiteral(text: string, value: string, at: number, first: boolean): Piece[] {
  const odd = /[^\t\n -~]/u.exec(text)
  if (odd) throw new Refusal(`${text}: a character that is not ASCII must be quoted`, at)
  checkDollar(text, at)
  if (/[=:]~/.test(text)) throw new Refusal(`${text}: whether the shell replaces this ~ depends on the shell`, at)
  if (!first || !text.startsWith('~')) return [literal(value)]
  if (text !== '~' && !text.startsWith('~/')) throw new Refusal(`${text}: only ~ itself and ~/… are known`, at)
  const home: Piece = { value: '/~', code: '"$HOME"', kind: 'variable' }
  return text === '~' ? [home] : [home, literal(value.slice(1))]
}

function pieces(part: WordPart, first: boolean): Piece[] {
  switch (part.type) {
    case 'Literal':
      return bareLiteral(part.text, part.value, part.pos, first)
    case 'SingleQuoted':
      return [literal(part.value)]
    case 'DoubleQuoted':
      return part.parts.length === 0 ? [literal('')] : part.parts.map(quotedPiece)
    case 'SimpleExpansion':
    case 'ParameterExpansion':
      return [variable(part)]
    case 'Glob':
      if (part.kind === 'bracket' && !/^\[!?[A-Za-z0-9_.-]+\]$/.test(part.text)) {
        throw new Refusal(`${part.text}: quote it, or use only letters and digits in the brackets`, part.pos)
      }
      return [{ value: part.text, code: part.text, kind: 'pattern' }]
    case 'AnsiCQuoted':
    case 'LocaleString':
    case 'CommandExpansion':
    case 'ProcessSubstitution':
    case 'ArithmeticExpansion':
    case 'ExtendedGlob':
    case 'BraceExpansion':
      return refuse(part)
  }
}

/** Literals side by side become one: `'a'"b"c` is `abc`. */
function merged(read: readonly Piece[]): Piece[] {
  const found: Piece[] = []
  for (const piece of read) {
    const last = found.at(-1)
    if (last?.kind === 'literal' && piece.kind === 'literal') found.splice(-1, 1, literal(last.value + piece.value))
    else found.push(piece)
  }
  return found
}

/**
 * Understands one word.
 * @throws Refusal when the shell would replace it by something that is not known.
 */
export function readWord(word: ParsedWord): Word {
  const { parts } = word
  const read = merged(
    parts === undefined || parts.length === 0
      ? bareLiteral(word.text, word.value, word.pos, true)
      : parts.flatMap((part, index) => pieces(part, index === 0)),
  )
  const value = read.map((piece) => piece.value).join('')
  const code = read.map((piece) => piece.code).join('')
  if (/(?!\t)\p{Cc}/u.test(value)) throw new Refusal(`${word.text}: a control character`, word.pos)
  const pattern = read.some(({ kind }) => kind === 'pattern')
  // `--include=*.ts` is meant as it stands, and nobody has a file called so.
  if (/^--[a-z-]+=/.test(read[0]?.value ?? '') && read.every(({ kind }) => kind !== 'variable')) {
    return { value, pattern: false, at: word.pos, code: quote(value) }
  }
  if (value.startsWith('-') && read.some(({ kind }) => kind !== 'literal')) {
    throw new Refusal(`${word.text}: an option must be written out`, word.pos)
  }
  // Files may be called like options: `*` would become one, `./*` does not.
  const open = pattern && read.find((piece) => piece.value !== '')?.kind === 'pattern'
  return open
    ? { value: `./${value}`, pattern, at: word.pos, code: `./${code}` }
    : { value, pattern, at: word.pos, code }
}
