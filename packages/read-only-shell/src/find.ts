/** `find`: paths, then an expression, of which only tests and printing are known. */
import { pathProblem } from './path.ts'
import type { CommandCheck } from './rule.ts'
import type { Word } from './word.ts'

/** Parts of an expression that stand alone. */
const alone = new Set(
  `( ) ! , -a -and -o -or -not -daystart -depth -mount -xdev -follow -noleaf -nowarn -warn -empty -executable -false
   -true -nouser -nogroup -readable -writable -print -print0 -ls -prune -quit`.split(/\s+/),
)

/** Parts that take the next word, whatever it is. Not `-fprint` and its like, `-exec`, `-ok`, `-delete`, `-files0-from`. */
const withValue = new Set(
  `-amin -anewer -atime -cmin -cnewer -ctime -fstype -gid -group -ilname -iname -inum -ipath -iregex -iwholename
   -links -lname -maxdepth -mindepth -mmin -mtime -name -newer -newermt -path -perm -printf -regex -regextype
   -samefile -size -type -uid -user -wholename -xtype`.split(/\s+/),
)

const startsExpression = ({ value }: Word): boolean => /^-.|^[(),!]/.test(value)

/** Judges the words of a `find`. */
export const findProblem: CommandCheck = (words) => {
  const options = words.findIndex(({ value }) => !/^-[HLP]$/.test(value))
  const rest = options < 0 ? [] : words.slice(options)
  const cut = rest.findIndex(startsExpression)
  const paths = cut < 0 ? rest : rest.slice(0, cut)
  for (const { value } of paths) {
    const problem = pathProblem(value)
    if (problem) return `${value} ${problem}`
  }
  return expressionProblem(cut < 0 ? [] : rest.slice(cut))
}

function expressionProblem(words: readonly Word[]): string | undefined {
  for (let index = 0; index < words.length; index += 1) {
    const { value = '', pattern = false } = words[index] ?? {}
    if (pattern) return `${value} is a pattern: quote it`
    if (alone.has(value)) continue
    if (!withValue.has(value)) return `${value} is not on the allowlist`
    index += 1
    const operand = words[index]
    if (operand === undefined) return `${value} needs a value`
    if (operand.pattern) return `${operand.value} is a pattern: quote it`
  }
  return undefined
}
