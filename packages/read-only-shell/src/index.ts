/**
 * `@greenroom/read-only-shell`: decides whether a shell command line only reads.
 *
 * - `shell.ts`: the checker; `line.ts`: the structure of a command line; `word.ts`: its words.
 * - `rule.ts`: what a command may be called with; `path.ts`: what no path may lead to.
 * - `commands.ts`, `git.ts`, `find.ts`, `filters.ts`, `builtins.ts`: the allowlist.
 *
 * It holds that what runs is what was judged:
 * - R1. Only what is named is allowed: kinds of syntax, commands, options by their full spelling.
 * - R2. The text is never run. What is run is written anew from the grammar's tree, every literal quoted, so that
 *   no second reading can differ from the first.
 * - R3. No word that is not known literally can become an option or a command.
 */
export {
  createReadOnlyShell,
  maxCommandLength,
  type Allowed,
  type ReadOnlyShell,
  type ReadOnlyShellOptions,
  type Refused,
  type Verdict,
} from './shell.ts'
export type { Call, CommandCheck, CommandForm, CommandRule, Hindrance, Operands } from './rule.ts'
export type { Word } from './word.ts'
