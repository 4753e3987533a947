/** The report: what a survey found, as Markdown for people and as JSON for programs. */
import { describeMiss } from 'greenroom'
import { visible } from './file-name.ts'
import type { Child } from './survey.ts'
import { merge, TODOS, totalOf, type Finding, type Sum } from './tally.ts'
import type { Tree } from './tree.ts'

/** How many entries of a list people are shown. */
const SHOWN = 20

/** The JSON of a survey. Names that are not valid UTF-8 are escaped as `file-name.ts` says. */
export interface Report {
  readonly totals: Sum
  /** By language, most lines first. */
  readonly languages: Readonly<Record<string, Sum>>
  /** The ten longest files. */
  readonly longest: Finding['longest']
  /** Lines that say TODO or FIXME, by path: the first 10,000, of one file the first 1,000. */
  readonly todos: Finding['todos']
  readonly children: readonly ChildReport[]
}

/** One surveyor's run, as the report has it. */
interface ChildReport {
  readonly runId: string
  readonly role: string
  readonly placement: string
  /** `warm` when the process was there before the run; `pid` null when it never was. */
  readonly worker: {
    readonly pid: number | null
    readonly warm: boolean
    /** Why it was not warm, in words. */
    readonly miss?: string
  }
  /** In which pass over the tree. */
  readonly pass: number
  readonly attempts: number
  /** The outcome's. */
  readonly status: string
  readonly ms: number
  /** How many files it counted. */
  readonly files: number
}

/** What the last pass found: the ones before it counted the same. */
function foundBy(children: readonly Child[]): Finding {
  return merge(lastPass(children).map((child) => child.finding))
}

function lastPass(children: readonly Child[]): Child[] {
  return children.filter(({ pass }) => pass === children.at(-1)?.pass)
}

/** Adds the surveyors' findings up. */
export function reportOf(children: readonly Child[]): Report {
  const found = foundBy(children)
  const { languages, longest, todos } = found
  return { totals: totalOf(found), languages, longest, todos, children: children.map(childReport) }
}

function childReport(child: Child): ChildReport {
  const { runId, role, placement, worker, attempts, phase, status, ms } = child.status()
  return {
    runId,
    role,
    placement: placement?.kind ?? 'local',
    worker: {
      pid: worker?.pid ?? null,
      warm: worker?.warm ?? false,
      ...(worker?.miss === undefined ? {} : { miss: describeMiss(worker.miss) }),
    },
    pass: child.pass,
    attempts,
    status: status ?? phase,
    ms: Math.round(ms),
    files: totalOf(child.finding).files,
  }
}

/** Writes a survey as Markdown. */
export function markdown(root: string, tree: Tree, children: readonly Child[]): string {
  const found = foundBy(children)
  const total = totalOf(found)
  const sections = [
    `# Survey of ${code(root)}`,
    ...partial(children, tree),
    ...earlier(children),
    `${number(total.files)} files, ${number(total.lines)} lines, ${number(total.bytes)} bytes.`,
    '## Languages',
    table(
      ['Language', '>Files', '>Lines', '>Bytes'],
      Object.entries(found.languages).map(([name, { files, lines, bytes }]) => [
        name,
        ...[files, lines, bytes].map(number),
      ]),
    ),
    ...list(
      'Longest files',
      found.longest.length,
      found.longest.map(({ path, lines }) => `${code(path)}: ${number(lines)} lines`),
    ),
    ...todoSection(found),
    ...list(
      'Not readable: counted with their bytes, but no lines',
      found.unreadable.length,
      found.unreadable.map(code),
    ),
    ...list('Not accessible: not counted', tree.hidden.length, tree.hidden.map(code)),
    ...list('Gone before they were read: not counted', found.vanished.length, found.vanished.map(code)),
    '## Children',
    table(['Child', '>Pass', '>Pid', 'Worker', 'Status', '>Files', '>ms'], children.map(childRow)),
    ...warmth(children),
  ]
  return `${sections.join('\n\n')}\n`
}

/** What is not counted, if anything is not. */
function partial(children: readonly Child[], tree: Tree): string[] {
  const last = lastPass(children)
  const failed = last.filter(({ problem }) => problem !== undefined)
  if (failed.length === 0) return []
  const counted = totalOf(foundBy(children)).files
  const which = last.length < children.length ? ` of pass ${last.at(-1)?.pass}` : ''
  const scope = `${failed.length} of ${last.length} children${which} did not complete; ${number(counted)} of ${number(tree.files.length)} files are counted.`
  const each = failed.map(({ number: child, problem = '' }) => `- surveyor ${child}: ${text(problem)}`)
  return [`**Partial:** ${scope}`, each.join('\n')]
}

/** What went wrong before the pass that is reported. */
function earlier(children: readonly Child[]): string[] {
  const reported = children.at(-1)?.pass
  const before = children.filter(({ pass }) => pass !== reported)
  const failed = before.filter(({ problem }) => problem !== undefined)
  if (failed.length === 0) return []
  const scope = `${failed.length} of ${before.length} children of earlier passes did not complete; what follows is of pass ${reported} alone.`
  const each = failed.map(
    ({ number: child, pass, problem = '' }) => `- surveyor ${child}, in pass ${pass}: ${text(problem)}`,
  )
  return [scope, each.join('\n')]
}

function todoSection({ todos, todoCount }: Finding): string[] {
  const kept =
    todos.length < todoCount
      ? `; JSON has ${number(todos.length)} of them (at most ${number(TODOS)}, 1,000 a file)`
      : ''
  const rows = todos.slice(0, SHOWN).map(({ path, line, text: says }) => `${code(`${path}:${line}`)} ${code(says)}`)
  return list(`TODO and FIXME: ${number(todoCount)}${kept}`, todoCount, rows)
}

function childRow(child: Child): string[] {
  const { worker, placement, status, ms, files } = childReport(child)
  const place = `${placement}, ${worker.warm ? 'warm' : `cold: ${worker.miss ?? 'no worker'}`}`
  return [
    `surveyor ${child.number}`,
    String(child.pass),
    String(worker.pid ?? '–'),
    place,
    status,
    number(files),
    number(ms),
  ]
}

/** What warm workers save: by runs that completed, over files that were counted both ways. */
function warmth(children: readonly Child[]): string[] {
  const isWarm = (child: Child): boolean => child.status().worker?.warm ?? false
  const completed = children.filter(({ problem }) => problem === undefined)
  const hasBoth = ({ share }: Child): boolean =>
    new Set(completed.filter((child) => child.share === share).map(isWarm)).size === 2
  const compared = completed.filter(hasBoth)
  const ms = (warm: boolean): number[] =>
    compared.filter((child) => isWarm(child) === warm).map((child) => child.status().ms)
  const [warm, fresh] = [ms(true), ms(false)]
  const count = children.filter(isWarm).length
  if (count === 0) return []
  const comparison = ` The same files took ${number(median(warm))} ms with it, ${number(median(fresh))} ms with a fresh one (medians of ${warm.length} and ${fresh.length} completed runs; by the second time the files may be in the system's cache, too).`
  return [`${count} of ${children.length} runs found a warm worker.${compared.length === 0 ? '' : comparison}`]
}

/** The middle value, or the mean of the two in the middle; in whole ones. */
function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const [low = 0, high = low] = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1)
  return Math.round((low + high) / 2)
}

// --- Markdown ---------------------------------------------------------------------------------------------

const number = (value: number): string => value.toLocaleString('en-US')

/** A section with a list, which ends with how many more there are; nothing when it is empty. */
function list(title: string, count: number, rows: readonly string[]): string[] {
  if (count === 0) return []
  const shown = rows.slice(0, SHOWN)
  const more = count > shown.length ? [`- … and ${number(count - shown.length)} more`] : []
  return [`## ${title}`, [...shown.map((row) => `- ${row}`), ...more].join('\n')]
}

/** A table; a `>` in front of a title aligns its column to the right. Padded, so that it reads well unrendered, too. */
function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const heads = titles.map((title) => title.replace('>', ''))
  const widths = heads.map((head, at) => Math.max(3, head.length, ...rows.map((row) => row[at]?.length ?? 0)))
  const isRight = titles.map((title) => title.startsWith('>'))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => (isRight[at] === true ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0))).join(' | ')} |`
  const rule = widths.map((width, at) => (isRight[at] === true ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)))
  return [line(heads), line(rule), ...rows.map(line)].join('\n')
}

/** Text out of a file or a name: shown as it is, neither obeyed by the terminal nor read as Markdown. */
function code(raw: string): string {
  const shown = visible(raw)
  const longest = Math.max(0, ...[...shown.matchAll(/`+/g)].map(([run]) => run.length))
  const fence = '`'.repeat(longest + 1)
  return longest === 0 ? `\`${shown}\`` : `${fence} ${shown} ${fence}`
}

/** A message of ours, which may quote something foreign. */
const text = (raw: string): string => visible(raw).replaceAll(/[\\`*_<>[\]|#]/g, '\\$&')
