/**
 * The structure of a command line: walks the grammar's tree, accepts a few kinds of nodes and writes each anew.
 *
 * Accepted: simple commands, `|`, `&&`, `||`, `;`, newlines, `!`, `( … )`, `{ …; }`, and four redirections. All else
 * that the grammar knows (functions, loops, here-documents, assignments …) is refused by its kind, and so is text
 * that belongs to no node: the grammar forgives mistakes, and a forgiven mistake is something it did not understand.
 */
import type { Command, CommandNode, PipelineNode, ParsedScript, Redirection, Statement } from 'unbash'
import { pathProblem } from './path.ts'
import { Refusal } from './refusal.ts'
import type { Judge } from './rule.ts'
import { readWord, type Word } from './word.ts'

/** Groups within groups. */
const maxDepth = 8

const refusedNodes: Readonly<Record<string, string>> = {
  If: 'an if',
  For: 'a loop',
  ArithmeticFor: 'a loop',
  While: 'a loop',
  Select: 'a loop',
  Case: 'a case',
  Function: 'a function definition',
  Coproc: 'a coprocess',
  TestCommand: '[[ … ]] (which may run commands; use test)',
  ArithmeticCommand: 'an arithmetic command',
}

/** Writes command lines anew. One for each check: it remembers which part of the text it has seen. */
export class LineWriter {
  readonly #text: string
  readonly #judges: ReadonlyMap<string, Judge>
  /** The parts of the text that became part of the result. */
  readonly #seen: { readonly pos: number; readonly end: number }[] = []

  constructor(text: string, judges: ReadonlyMap<string, Judge>) {
    this.#text = text
    this.#judges = judges
  }

  /**
   * Writes the whole script.
   * @throws Refusal when anything in it is not known to be harmless.
   */
  write(script: ParsedScript): string {
    const [error] = script.errors ?? []
    if (error) throw new Refusal(`not understood: ${error.message}`, error.pos)
    if (script.shebang !== undefined) throw new Refusal('a first line that starts with #!', 0)
    if (script.commands.length === 0) throw new Refusal('no command')
    const line = this.#list(script.commands, 0)
    this.#checkGaps()
    return line
  }

  #list(statements: readonly Statement[], depth: number): string {
    if (depth > maxDepth) throw new Refusal('groups are nested too deeply', statements[0]?.pos)
    return statements
      .map(({ command, background, end }) => {
        if (background) throw new Refusal('& leaves a command running in the background', end)
        return this.#commands(command, depth)
      })
      .join('; ')
  }

  #commands(node: Statement['command'], depth: number): string {
    if (node.type !== 'AndOr') return this.#pipeline(node, depth)
    return joined(
      node.commands.map((command) => this.#pipeline(command, depth)),
      node.operators,
    )
  }

  #pipeline(node: PipelineNode, depth: number): string {
    if (node.type !== 'Pipeline') return this.#command(node, depth)
    const prefixes = node.prefixes.map((prefix) => {
      if (prefix.type === 'Time') throw new Refusal('time is no command in sh', prefix.pos)
      this.#seen.push(prefix)
      return '! '
    })
    if (node.commands.length === 0) throw new Refusal('no command', node.pos)
    if (prefixes.length > 1) throw new Refusal('more than one ! means something else in sh', node.pos)
    if (node.operators.includes('|&')) throw new Refusal('|& means something else in sh', node.pos)
    const commands = node.commands.map((command) => this.#command(command, depth))
    return prefixes.join('') + joined(commands, node.operators)
  }

  #command(node: CommandNode, depth: number): string {
    switch (node.type) {
      case 'Command':
        return this.#simple(node)
      case 'Redirected': {
        const redirections = node.redirects.map((redirection) => this.#redirection(redirection))
        return [this.#command(node.command, depth), ...redirections].join(' ')
      }
      case 'Subshell':
      case 'BraceGroup': {
        this.#seen.push({ pos: node.pos, end: node.pos + 1 }, { pos: node.end - 1, end: node.end })
        const body = this.#list(node.body.commands, depth + 1)
        return node.type === 'Subshell' ? `( ${body} )` : `{ ${body}; }`
      }
      default:
        throw new Refusal(`${refusedNodes[node.type] ?? node.type} is not on the allowlist`, node.pos)
    }
  }

  #simple(node: Command): string {
    const [first] = node.prefix
    if (first) throw new Refusal(`${this.#at(first)}: nothing may stand before a command`, first.pos)
    if (node.name === undefined) throw new Refusal('no command', node.pos)
    const name = node.name.text
    this.#seen.push(node.name)
    const judge = this.#judges.get(name)
    if (judge === undefined) throw new Refusal(`${name} is not on the allowlist of commands`, node.pos)
    const words: Word[] = []
    const redirections: string[] = []
    for (const part of node.suffix) {
      if (part.type === 'Assignment') throw new Refusal(`${part.text}: an assignment`, part.pos)
      if (part.type === 'Word') {
        this.#seen.push(part)
        words.push(readWord(part))
      } else redirections.push(this.#redirection(part))
    }
    return [atPlace(judge, words, node.pos), ...redirections].join(' ')
  }

  /** Only those that write nowhere: `2>&1` and its like, `>/dev/null`, and reading a file. */
  #redirection(redirection: Redirection): string {
    this.#seen.push(redirection)
    const { pos, operator, target, descriptor } = { target: undefined, ...redirection }
    const refusal = new Refusal(`${this.#at(redirection)}: only 2>&1, >/dev/null and <FILE are on the allowlist`, pos)
    if (target === undefined || descriptor?.type === 'FileDescriptorVariable') throw refusal
    const number = descriptor?.value
    const { value, pattern, code } = readWord(target)
    const out = number === undefined || number === 1 || number === 2
    if (operator === '>&' && out && /^[12]$/.test(target.text)) return `${number ?? ''}>&${target.text}`
    if ((operator === '>' || operator === '>>') && out && value === '/dev/null') return `${number ?? ''}>/dev/null`
    if (operator === '<' && (number === undefined || number === 0) && !pattern) {
      const problem = pathProblem(value)
      if (problem) throw new Refusal(`${value} ${problem}`, pos)
      return `<${code}`
    }
    throw refusal
  }

  /** What lies between the parts that were understood may only be separators and comments. */
  #checkGaps(): void {
    let end = 0
    for (const seen of this.#seen.toSorted((a, b) => a.pos - b.pos)) {
      if (seen.pos > end) this.#checkGap(end, seen.pos)
      end = Math.max(end, seen.end)
    }
    this.#checkGap(end, this.#text.length)
  }

  #checkGap(pos: number, end: number): void {
    const gap = this.#text.slice(pos, end)
    if (!/^(?:[ \t\n;|&]|\\\n|(?<![^ \t\n;|&])#[^\n]*)*$/.test(gap)) {
      throw new Refusal(`not understood: ${gap.trim()}`, pos)
    }
  }

  #at({ pos, end }: { readonly pos: number; readonly end: number }): string {
    return this.#text.slice(pos, end)
  }
}

/** Commands with the operators between them. */
function joined(commands: readonly string[], operators: readonly string[]): string {
  return commands
    .map((command, index) => (index === 0 ? command : ` ${operators[index - 1] ?? ''} ${command}`))
    .join('')
}

function atPlace(judge: Judge, words: readonly Word[], pos: number): string {
  try {
    return judge(words)
  } catch (error) {
    if (error instanceof Refusal && error.at === undefined) throw new Refusal(error.message, pos)
    throw error
  }
}
