/** The checker: from a text to a verdict. */
import { parse } from 'unbash'
import { commands as ownCommands } from './commands.ts'
import { LineWriter } from './line.ts'
import { Refusal } from './refusal.ts'
import { judgeOf, type CommandRule, type Judge } from './rule.ts'

/** What may be set. */
export interface ReadOnlyShellOptions {
  /**
   * Rules for more commands, or other rules for commands that the allowlist has already; `null` takes one off it.
   * They are trusted: a rule that lets a program write makes the shell one that writes.
   */
  readonly commands?: Readonly<Record<string, CommandRule | null>>
}

/** A command line that only reads. */
export interface Allowed {
  readonly allowed: true
  /**
   * What to run **instead of the text**, by `sh -c` or `bash -c`: the same commands, written anew from what was
   * understood, with what makes them safe. The text itself was not judged as the shell would read it.
   */
  readonly command: string
}

/** A command line that may do more than read, or is not understood. */
export interface Refused {
  readonly allowed: false
  /** Which word or construct is refused, and why: for whoever wrote the command line. */
  readonly reason: string
  /** Where in the text it is, in UTF-16 units from 0; missing when it is the text as a whole. */
  readonly at?: number
}

/** What became of a check. */
export type Verdict = Allowed | Refused

/** Decides which command lines only read. */
export interface ReadOnlyShell {
  /** Decides about one command line. Pure: it looks at nothing but the text, and never throws. */
  check(text: string): Verdict
}

/** The longest command line that is looked at, in UTF-16 units. */
export const maxCommandLength = 4096

function checkCharacters(text: string): void {
  if (text.length > maxCommandLength) throw new Refusal(`longer than ${maxCommandLength} characters`)
  // Controls, formats (such as those that reverse the direction of writing), lone surrogates, private and unassigned
  // characters, and blanks that look like the one that separates words.
  const odd = /[\p{C}\p{Z}]/gu
  for (const { 0: character, index } of text.matchAll(odd)) {
    if (character === ' ' || character === '\t' || character === '\n') continue
    const code = character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')
    throw new Refusal(`a control character or a blank that is no space (U+${code})`, index)
  }
}

/** A command's name as the shell takes it for one, and for nothing else. */
const reserved = /^(?:if|then|elif|else|fi|for|in|do|done|while|until|case|esac|function|select|time|coproc)$/

function judges(options: ReadOnlyShellOptions): Map<string, Judge> {
  const found = new Map<string, Judge>()
  for (const [name, rule] of Object.entries({ ...ownCommands, ...options.commands })) {
    if (rule === null) continue
    if (!/^(?:\[|[A-Za-z0-9_][A-Za-z0-9_.+-]*)$/.test(name) || reserved.test(name)) {
      throw new TypeError(`${name} cannot be the name of a command`)
    }
    found.set(name, judgeOf(name, rule))
  }
  return found
}

/**
 * Makes a checker that passes only command lines that read.
 *
 * @throws TypeError when a rule is malformed: a name that is no command's, an option that is not spelled as one.
 *
 * @example
 * ```ts
 * import { createReadOnlyShell } from '@greenroom/read-only-shell'
 *
 * const shell = createReadOnlyShell({ commands: { cargo: { subcommands: { tree: { options: '-i= --depth=' } } } } })
 * const verdict = shell.check('git log -n 5 && cargo tree --depth 1')
 * console.log(verdict.allowed ? verdict.command : verdict.reason)
 * ```
 */
export function createReadOnlyShell(options: ReadOnlyShellOptions = {}): ReadOnlyShell {
  const known = judges(options)
  return {
    check(text) {
      try {
        checkCharacters(text)
        return { allowed: true, command: new LineWriter(text, known).write(parse(text)) }
      } catch (error) {
        // Whatever goes wrong inside the grammar or a rule is something that was not understood.
        const reason = error instanceof Error ? error.message : String(error)
        const at = error instanceof Refusal ? error.at : undefined
        return { allowed: false, reason, ...(at === undefined ? {} : { at }) }
      }
    },
  }
}
