/** The report: what a survey found, as Markdown for people and as JSON for programs. */
import { describeMiss, type RunStatus } from 'greenroom'
import { branchOf, pidOf, type Child } from './child.ts'
import { visible } from './file-name.ts'
import { historyReport, historySection, type HistoryReport } from './history-report.ts'
import { code, list, number, SHOWN, table, text } from './markdown.ts'
import { failureOf, type Surveyed } from './survey.ts'
import { merge, TODOS, totalOf, type Finding, type Sum } from './tally.ts'
import type { Tree } from './tree.ts'

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
  /** What the historian told, and who let it. */
  readonly history: HistoryReport
}

/** One surveyor's run, as the report has it. */
interface ChildReport {
  /** As the table calls it: the children of 1 are `1.1` and `1.2`. */
  readonly name: string
  readonly runId: string
  /** The run of the surveyor whose child it is; null for a child of the survey. */
  readonly parent: string | null
  readonly role: string
  /** `local`, `pool` or `remote`. */
  readonly placement: string
  /** The machine. */
  readonly host: string
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
  /** How many files it counted itself. */
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
export function reportOf({ children, historian }: Surveyed): Report {
  const found = foundBy(children)
  const { languages, longest, todos } = found
  return {
    totals: totalOf(found),
    languages,
    longest,
    todos,
    children: children.map(childReport),
    history: historyReport(historian),
  }
}

function childReport(child: Child): ChildReport {
  const { runId, role, placement, worker, attempts, phase, status, ms } = child.status()
  return {
    name: child.name,
    runId,
    parent: child.parent?.status().runId ?? null,
    role,
    placement: placement?.kind ?? 'local',
    host: placement?.host ?? '',
    worker: {
      pid: pidOf(child) ?? null,
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
export function markdown(root: string, tree: Tree, { children, historian }: Surveyed): string {
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
    ...historySection(historian),
    '## Children',
    table(
      ['Child', '>Pass', '>Pid', 'Where', 'Worker', 'Status', '>Files', '>ms'],
      [...children.map(childRow), historianRow(historian)],
    ),
    ...family(children),
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
  const each = failed.map(({ name: child, problem = '' }) => `- surveyor ${child}: ${text(problem)}`)
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
    ({ name: child, pass, problem = '' }) => `- surveyor ${child}, in pass ${pass}: ${text(problem)}`,
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
  const { worker, status, ms, files } = childReport(child)
  return [
    `${branchOf(child)}surveyor ${child.name}`,
    String(child.pass),
    String(worker.pid ?? '–'),
    whereOf(child.status()),
    worker.warm ? 'warm' : `cold: ${worker.miss ?? 'no worker'}`,
    status,
    number(files),
    number(ms),
  ]
}

function historianRow(historian: Surveyed['historian']): string[] {
  const { worker, status, ms } = historyReport(historian)
  // Not being allowed is an answer.
  const end = status === 'failed' && failureOf(historian) === undefined ? 'denied' : status
  return ['historian', '–', String(worker.pid ?? '–'), whereOf(historian.status), 'its own', end, '–', number(ms)]
}

/** Who split a share, and among whom. */
function family(children: readonly Child[]): string[] {
  const last = lastPass(children)
  const families = last.map((child) => [child.name, last.filter(({ parent }) => parent === child)] as const)
  const split = families.filter(([, own]) => own.length > 0)
  const says = split.map(
    ([name, own]) =>
      `surveyor ${name} gave parts of it to children of its own, ${own.map((one) => one.name).join(' and ')}`,
  )
  return says.length === 0 ? [] : [`The largest share was split: ${says.join('; ')}.`]
}

/** What kind of place, and on which machine. */
const whereOf = ({ placement }: RunStatus): string => visible(`${placement?.kind ?? '–'}, ${placement?.host ?? '–'}`)

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
