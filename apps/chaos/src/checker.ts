/**
 * The checker: what must hold of what the ledgers say, once all is over.
 *
 * - *K1* lost: every run that was started has an outcome that its owner was told, in whichever life, and that the journal
 *   still has; whoever schedules children is told of each. Of a job that only a scheduler had, as much is owed once there
 *   is a trace of it.
 * - *K2* doubled: it is one run, with one outcome, the same for everybody at any time; no attempt of it is executed twice,
 *   and no attempt that was begun is repeated unless that is allowed.
 * - *K3* overlapping: nothing of an attempt happens once a later one has begun, and its process is dead by then, or it has
 *   ended.
 * - *K4* disordered: the entries that readers saw, over all lives, and those that the journal has, are those that were
 *   told, each once and in order: all, when the run completed and does not say what was lost.
 * - *K5* illegitimate: an outcome that nothing explains. That its runner ended explains none of a detached run.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Ended, Entry, HitLine, Kind, Order, RunnerLine, WorkLine } from './ledger.ts'

/** What the checker counts. */
export type Fault = 'lost' | 'doubled' | 'overlapping' | 'disordered' | 'illegitimate'

/** What it found. */
export interface Verdict {
  /** Runs that were started. */
  readonly started: number
  /** Attempts that were executed. */
  readonly executions: number
  /** Of the runs, those that were detached, and those of them that a later life of their runner took over as they executed. */
  readonly detached: { readonly runs: number; readonly takenOver: number }
  /** By status, and code or watchdog. */
  readonly outcomes: Readonly<Record<string, number>>
  /** Outcomes that a runner told, and said that it could not record. */
  readonly unrecorded: number
  /** What must not be, in words. */
  readonly violations: readonly { readonly fault: Fault; readonly text: string }[]
}

/** All that the ledger says of a job. */
interface Job {
  readonly job: string
  readonly kind: Kind
  readonly order: Order
  readonly isDetached: boolean
  readonly runs: Set<string>
  isStarted: boolean
  isUnknown: boolean
  isCancelled: boolean
  readonly entries: Entry[]
  readonly outcomes: Ended[]
  readonly told: Ended[]
  audit: { readonly outcome: Ended | null; readonly entries: readonly Entry[] } | undefined
  readonly work: readonly WorkLine[]
}

/** Outcomes that a kill, a stop, a cut or a full disk explains. */
const explained: ReadonlySet<string> = new Set([
  'failed WORKER_LOST',
  'failed OUTCOME_UNKNOWN',
  'failed COMMIT_UNKNOWN',
  'failed STORAGE_FULL',
  'timeout accept',
  'timeout first-event',
])

/** What may be executed again when its worker was lost, or when it asked for that. */
const repeatable: ReadonlySet<Kind> = new Set(['again', 'flaky'])

/** Such a run may never have been recorded at all: then nothing of it was done, and its key is free again. */
const unrecordable: ReadonlySet<string> = new Set(['failed COMMIT_UNKNOWN', 'failed STORAGE_FULL'])

/** An outcome in a word or two. */
function nameOf({ status, code, which }: Ended): string {
  return [status, code ?? which].filter((word) => word !== undefined).join(' ')
}

/**
 * Judges ledgers.
 *
 * @param ledgers - one a runner, each of all its lives
 * @param workOf - what the workers say of a job
 * @param hits - the workers that were killed or stopped
 */
export function judge(
  ledgers: readonly (readonly RunnerLine[])[],
  workOf: (job: string) => readonly WorkLine[],
  hits: readonly HitLine[],
): Verdict {
  const court = new Court(hits)
  for (const ledger of ledgers) court.hear(ledger, workOf)
  return court.verdict()
}

class Court {
  readonly #violations: { fault: Fault; text: string }[] = []
  readonly #outcomes: Record<string, number> = {}
  #started = 0
  #executions = 0
  #detached = 0
  #takenOver = 0
  readonly #hit: ReadonlySet<string>
  #unrecorded = 0

  constructor(hits: readonly HitLine[]) {
    this.#hit = new Set(hits.map(({ pid, stamp }) => `${pid} ${stamp}`))
  }

  hear(ledger: readonly RunnerLine[], workOf: (job: string) => readonly WorkLine[]): void {
    const unrecorded = new Set(ledger.flatMap((line) => (line.t === 'unrecorded' ? [line.run] : [])))
    const hasClosed = ledger.some(({ t }) => t === 'closed')
    const lives = ledger.flatMap((line) => (line.t === 'life' ? [line.at] : []))
    this.#unrecorded += unrecorded.size
    for (const line of ledger)
      if (line.t === 'left') for (const run of line.runs) this.#violate('lost', `${run} was left open`)
    for (const job of jobsOf(ledger, workOf).values()) {
      this.#checkWork(job)
      this.#checkOutcome(
        job,
        [...job.runs].some((run) => unrecorded.has(run)),
      )
      this.#checkEntries(job)
      this.#checkReason(job, hasClosed)
      this.#checkDetached(job, lives)
    }
  }

  verdict(): Verdict {
    return {
      started: this.#started,
      executions: this.#executions,
      detached: { runs: this.#detached, takenOver: this.#takenOver },
      outcomes: this.#outcomes,
      unrecorded: this.#unrecorded,
      violations: this.#violations,
    }
  }

  #violate(fault: Fault, text: string): void {
    this.#violations.push({ fault, text })
  }

  /** K2, K3 */
  #checkWork({ job, kind, work }: Job): void {
    const begun = new Set<number>()
    let last = 0
    for (const line of work) {
      if (line.t === 'overlap')
        this.#violate('overlapping', `${job}: the process of attempt ${line.with} lived when ${line.epoch} began`)
      if (line.epoch < last) this.#violate('overlapping', `${job}: attempt ${line.epoch} goes on after ${last} began`)
      if (line.t !== 'begin') continue
      this.#executions += 1
      if (begun.has(line.epoch)) this.#violate('doubled', `${job}: attempt ${line.epoch} is executed twice`)
      const before = Math.max(0, ...begun)
      if (before > 0 && before !== line.epoch && !repeatable.has(kind))
        this.#violate('doubled', `${job}: attempt ${before} was executed, and is repeated as ${line.epoch}`)
      begun.add(line.epoch)
      last = Math.max(last, line.epoch)
    }
  }

  /** K1, K2 */
  #checkOutcome(job: Job, isUnrecorded: boolean): void {
    const { runs, outcomes, told, audit } = job
    if (runs.size > 1) this.#violate('doubled', `${job.job} is ${runs.size} runs: ${[...runs].join(', ')}`)
    if (runs.size === 0) return
    const isOwed = job.isStarted || job.work.length > 0 || job.entries.length > 0 || outcomes.length > 0
    if (!isOwed) return
    this.#started += 1
    const last = outcomes.at(-1)
    if (job.isUnknown || last === undefined) return this.#violate('lost', `${job.job}: nobody was told of its end`)
    const name = nameOf(last)
    this.#outcomes[name] = (this.#outcomes[name] ?? 0) + 1
    const isNothing = unrecordable.has(name) && job.work.length === 0
    if ((audit === undefined || audit.outcome === null) && !isNothing)
      this.#violate('lost', `${job.job}: ${name}, and its journal does not know it`)
    if (job.kind === 'child' && told.length === 0) this.#violate('lost', `${job.job}: its parent was not told`)
    if (isUnrecorded) return
    const others = [...outcomes, ...told, ...(audit?.outcome ? [audit.outcome] : [])]
    const other = others.find((one) => !isDeepStrictEqual(one, last))
    if (other !== undefined)
      this.#violate('doubled', `${job.job}: ${JSON.stringify(last)}, and ${JSON.stringify(other)}`)
  }

  /** K4 */
  #checkEntries({ job, entries, audit, outcomes, work }: Job): void {
    const place = ({ epoch, seq }: Entry): number => epoch * 1e9 + seq
    entries.forEach((entry, index) => {
      const before = entries[index - 1]
      const isNew = before === undefined || entry.epoch !== before.epoch
      const { said } = entry
      const isRight = said.job === job && said.epoch === entry.epoch && said.n === (isNew ? 1 : before.said.n + 1)
      const isLater = before === undefined || place(entry) > place(before)
      if (!isRight || !isLater)
        this.#violate('disordered', `${job}: ${JSON.stringify(entry)} after ${JSON.stringify(before)}`)
    })
    if (audit !== undefined && !isDeepStrictEqual(audit.entries, entries))
      this.#violate(
        'disordered',
        `${job}: readers saw ${entries.length} entries, the journal has ${audit.entries.length}`,
      )
    const epochs = new Set([...entries.map(({ epoch }) => epoch), ...work.map(({ epoch }) => epoch)])
    const last = outcomes.at(-1)
    for (const epoch of epochs) {
      const seen = entries.filter((entry) => entry.epoch === epoch).length
      const said = work.filter((line) => line.t === 'tick' && line.epoch === epoch).length
      if (seen > said) this.#violate('disordered', `${job}: ${seen} entries of attempt ${epoch}, of ${said} told`)
      const isWhole = last?.status === 'completed' && last.eventsLost === undefined && epoch === Math.max(...epochs)
      if (isWhole && seen < said) this.#violate('lost', `${job}: ${seen} entries of attempt ${epoch}, of ${said} told`)
    }
  }

  /** K5 */
  #checkReason({ job, kind, order, isDetached, outcomes, isCancelled, work }: Job, hasClosed: boolean): void {
    const outcome = outcomes.at(-1)
    if (outcome === undefined || explained.has(nameOf(outcome))) return
    // A detached run goes on when its runner closes.
    const wasClosed = hasClosed && !isDetached
    if (outcome.status === 'cancelled' && (isCancelled || wasClosed)) return
    if (outcome.code === 'FENCED' && wasClosed) return
    const done = work.findLast((line) => line.t === 'end' && line.how === 'done')
    const output = { job, epoch: done?.epoch, entries: order.entries }
    const isDone = outcome.status === 'completed' && done !== undefined && isDeepStrictEqual(outcome.output, output)
    if (!isDone) this.#violate('illegitimate', `${job} (${kind}): ${JSON.stringify(outcome)}`)
  }

  /** K5: a detached attempt is lost only when somebody did something to its own process. */
  #checkDetached({ job, isDetached, outcomes, runs, work }: Job, lives: readonly number[]): void {
    if (!isDetached || runs.size === 0) return
    this.#detached += 1
    const begun = work.filter((line) => line.t === 'begin')
    const endOf = (epoch: number) => work.findLast((line) => line.t === 'end' && line.epoch === epoch)
    const isTakenOver = begun.some(({ epoch, at }) => {
      const end = endOf(epoch)
      return end?.t === 'end' && lives.some((life) => at < life && life < end.at)
    })
    if (isTakenOver) this.#takenOver += 1
    const isLost = ['WORKER_LOST', 'OUTCOME_UNKNOWN'].includes(outcomes.at(-1)?.code ?? '')
    const lost = begun.filter(({ epoch }, index) => (index < begun.length - 1 ? endOf(epoch) === undefined : isLost))
    for (const { epoch, pid, stamp } of lost)
      if (!this.#hit.has(`${pid} ${stamp}`))
        this.#violate('illegitimate', `${job}: attempt ${epoch} is detached and was lost, though nobody hit its worker`)
  }
}

function jobsOf(ledger: readonly RunnerLine[], workOf: (job: string) => readonly WorkLine[]): Map<string, Job> {
  const jobs = new Map<string, Job>()
  const byRun = new Map<string, Job>()
  for (const line of ledger) {
    if (line.t === 'asked') jobs.set(line.job, newJob(line, workOf(line.job)))
    if (line.t === 'told') byRun.get(line.run)?.told.push(line.outcome)
    const job = 'job' in line ? jobs.get(line.job) : undefined
    if (job === undefined) continue
    if (line.t === 'started' || line.t === 'queued') {
      job.runs.add(line.run)
      byRun.set(line.run, job)
      job.isStarted ||= line.t === 'started'
    } else if (line.t === 'unknown') job.isUnknown = true
    else if (line.t === 'cancel') job.isCancelled = true
    else if (line.t === 'entry') job.entries.push(line.entry)
    else if (line.t === 'outcome') job.outcomes.push(line.outcome)
    else if (line.t === 'audit') job.audit = line
  }
  return jobs
}

function newJob({ job, kind, order, detached }: RunnerLine & { t: 'asked' }, work: readonly WorkLine[]): Job {
  return {
    job,
    kind,
    order,
    isDetached: detached,
    work,
    runs: new Set(),
    isStarted: false,
    isUnknown: false,
    isCancelled: false,
    entries: [],
    outcomes: [],
    told: [],
    audit: undefined,
  }
}
