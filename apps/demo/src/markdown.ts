/** Markdown that also reads well as it is, and in which foreign text can do nothing. */
import { visible } from './file-name.ts'

/** How many entries of a list people are shown. */
export const SHOWN = 20

/** A number with its thousands apart. */
export const number = (value: number): string => value.toLocaleString('en-US')

/** So many of something: `1 commit`, `2,000 commits`. */
export const counted = (value: number, what: string): string => `${number(value)} ${what}${value === 1 ? '' : 's'}`

/** A section with a list, which ends with how many more there are; nothing when it is empty. */
export function list(title: string, count: number, rows: readonly string[]): string[] {
  if (count === 0) return []
  const shown = rows.slice(0, SHOWN)
  const more = count > shown.length ? [`- … and ${number(count - shown.length)} more`] : []
  return [`## ${title}`, [...shown.map((row) => `- ${row}`), ...more].join('\n')]
}

/** A table; a `>` in front of a title aligns its column to the right. Padded, so that it reads well unrendered, too. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const heads = titles.map((title) => title.replace('>', ''))
  const widths = heads.map((head, at) => Math.max(3, head.length, ...rows.map((row) => row[at]?.length ?? 0)))
  const isRight = titles.map((title) => title.startsWith('>'))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => (isRight[at] === true ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0))).join(' | ')} |`
  const rule = widths.map((width, at) => (isRight[at] === true ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)))
  return [line(heads), line(rule), ...rows.map(line)].join('\n')
}

/** Text out of a file or a name: shown as it is, neither obeyed by the terminal nor read as Markdown. */
export function code(raw: string): string {
  const shown = visible(raw)
  const longest = Math.max(0, ...[...shown.matchAll(/`+/g)].map(([run]) => run.length))
  const fence = '`'.repeat(longest + 1)
  return longest === 0 ? `\`${shown}\`` : `${fence} ${shown} ${fence}`
}

/** A message of ours, which may quote something foreign. */
export const text = (raw: string): string => visible(raw).replaceAll(/[\\`*_<>[\]|#]/g, '\\$&')
