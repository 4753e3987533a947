/** Programs whose first word is a program of its own: only forms whose text is known to read. */
import { pathProblem } from './path.ts'
import type { CommandCheck } from './rule.ts'
import type { Word } from './word.ts'

/** A line's number, the last line, or a text between slashes that means the same in every sed. */
const address = String.raw`(?:\d+|\$|/[A-Za-z0-9 _.,:;=<>"'{}()@#%-]+/)`
const sedScript = new RegExp(String.raw`^(?:${address}(?:,(?:${address}|\+\d+))?[pq=](?:; *|$))+$`)

/** `sed -n 'PRINT LINES' FILE…`: its scripts may write files (`w`) and run commands (`e`), so only lines may be chosen. */
export const sedProblem: CommandCheck = (words) => {
  const [option, script, ...files] = words
  if (option?.value !== '-n') return 'only sed -n with lines to print is on the allowlist'
  if (script === undefined || script.pattern || !sedScript.test(script.value)) {
    return `${script?.value ?? 'no script'}: only lines to print, such as 10,20p, are on the allowlist`
  }
  return filesProblem(files)
}

function filesProblem(files: readonly Word[]): string | undefined {
  for (const { value } of files) {
    if (/^-./.test(value)) return `option ${value} is not on the allowlist`
    const problem = pathProblem(value)
    if (problem) return `${value} ${problem}`
  }
  return undefined
}

const jqFlags = /^-[rcnsSCMaje]+$/
const jqLong = new Set(
  `--raw-output --compact-output --null-input --slurp --sort-keys --color-output --monochrome-output --ascii-output
   --join-output --exit-status --tab --raw-input --stream --seq`.split(/\s+/),
)
/** How many words follow, and whether the last of them is a path. */
const jqValues: ReadonlyMap<string, { readonly words: number; readonly path: boolean }> = new Map([
  ['--indent', { words: 1, path: false }],
  ['--arg', { words: 2, path: false }],
  ['--argjson', { words: 2, path: false }],
  ['--slurpfile', { words: 2, path: true }],
  ['--rawfile', { words: 2, path: true }],
])

/** `env` and `$ENV` show the environment; modules may hold programs that do. */
const jqSecrets = /\benv\b|\b(?:import|include|modulemeta|get_search_list)\b|\$__/i

/** `jq FILTER FILE…`: not from a file (`-f`), where the filter cannot be seen. */
export const jq: CommandCheck = (words) => {
  const operands: Word[] = []
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index]
    if (word === undefined) break
    const taken = jqValues.get(word.value)
    if (taken) {
      const problem = jqValueProblem(word.value, words.slice(index + 1, index + 1 + taken.words), taken)
      if (problem) return problem
      index += taken.words
    } else if (!/^-./.test(word.value)) operands.push(word)
    else if (word.pattern || !(jqFlags.test(word.value) || jqLong.has(word.value))) {
      return `option ${word.value} is not on the allowlist`
    }
  }
  const [filter, ...files] = operands
  if (filter === undefined || filter.pattern) return 'needs a quoted filter'
  if (jqSecrets.test(filter.value)) return `${filter.value}: the environment and modules are not on the allowlist`
  return filesProblem(files)
}

function jqValueProblem(
  option: string,
  values: readonly Word[],
  { words, path }: { readonly words: number; readonly path: boolean },
): string | undefined {
  if (values.length < words) return `${option} needs ${words === 1 ? 'a value' : 'a name and a value'}`
  const odd = values.find(({ value, pattern }) => pattern || value.startsWith('-'))
  if (odd) return `${odd.value}: not on the allowlist behind ${option}`
  const last = values.at(-1)?.value ?? ''
  const problem = path ? pathProblem(last) : undefined
  return problem && `${last} ${problem}`
}
