/**
 * What must hold of questions to runs.
 *
 * - *Q1* Every question has one end, within its time: whoever asked and lives is told. A parent is when it may go on, too.
 * - *Q2* An answer is to what was asked, and is of who was asked: by its executor, or by a run that stood in for it.
 * - *Q3* An attempt is asked a thing once, and only what concerns its run.
 * - *Q4* Nobody is asked what nobody waits for any more.
 * - *Q5* Who gets no answer is told why, and that is true.
 * - *Q6* A question that steers is in the session of its run once at most, a query never.
 */
import type { Checker, Execution } from './checker.ts'
import type { Inquiry, Job } from './workload.ts'

/** So long after its time a question may reach its executor, in milliseconds: on a slow connection. */
const transitMs = 5_000

/** What a question begins with. */
const mark = 'inquiry'

/** With which codes a question may have no answer, whatever was asked. */
const mayFail: ReadonlySet<string> = new Set([
  'CLOSED',
  'FENCED',
  'LIMIT_BUDGET',
  'OUTCOME_UNKNOWN',
  'POOL_HELD_BY_ANCESTOR',
  'STORAGE_FULL',
  'WORKER_LOST',
  'WORKER_SPAWN_FAILED',
])

/** What the rules look at. */
export interface TalkParts {
  readonly checker: Checker
  /** Does something in a while, if all is not over by then. */
  readonly later: (ms: number, act: () => void) => void
  /** Whether a run's end is recorded. */
  readonly hasEnded: (runId: string) => boolean
  /** All, children too, by their index. */
  readonly jobs: readonly Job[]
  /** In virtual milliseconds. */
  readonly now: () => number
  /** For how many of them the machine slept. */
  readonly sleptMs: () => number
}

/** A question. */
export interface OpenInquiry extends Inquiry {
  /** As it is put: nobody else's. */
  readonly text: string
  /** Of whom. */
  readonly runId: string
  readonly job: Job
  readonly askedAt: number
  readonly sleptMs: number
  /** Whether nobody is there any more to be told. */
  readonly isForgotten: () => boolean
  isOver: boolean
}

/** See Q1 to Q6. */
export class TalkRules {
  readonly #parts: TalkParts
  readonly #inquiries = new Map<string, OpenInquiry>()
  /** By attempt and question. */
  readonly #put = new Set<string>()

  constructor(parts: TalkParts) {
    this.#parts = parts
  }

  /** Somebody is about to ask. */
  asks(
    { mode, withinMs }: Inquiry,
    of: { readonly runId: string; readonly job: number },
    isForgotten: () => boolean,
  ): OpenInquiry {
    const job = this.#parts.jobs[of.job]
    if (job === undefined) throw new Error(`there is no job ${of.job}`)
    const text = `${mark} ${this.#inquiries.size} to ${of.job}`
    const { runId } = of
    const { now, sleptMs } = this.#parts
    const asked = { askedAt: now(), sleptMs: sleptMs() }
    const inquiry = { mode, withinMs, text, runId, job, ...asked, isForgotten, isOver: false }
    this.#inquiries.set(text, inquiry)
    return inquiry
  }

  /** Q3, Q4: an executor is asked. */
  put({ runId, job, epoch }: Execution, text: string): void {
    const inquiry = this.#inquiries.get(text)
    const who = `job ${job}.${epoch}`
    if (inquiry === undefined) return this.#violate('Q3', `${who} is asked "${text}", which nobody asked`)
    if (inquiry.runId !== runId)
      this.#violate('Q3', `${who} of ${runId} is asked "${text}", meant for ${inquiry.runId}`)
    if (inquiry.mode !== 'query') this.#violate('Q3', `${who} is asked "${text}", which steers`)
    const name = `${runId}.${epoch} ${text}`
    if (this.#put.has(name)) this.#violate('Q3', `${who} is asked "${text}" again`)
    this.#put.add(name)
    const lateMs = this.#lateMs(inquiry)
    if (lateMs > transitMs) this.#violate('Q4', `${who} is asked "${text}" ${lateMs} ms too late`)
  }

  /** Q2: there is an answer. */
  answered(inquiry: OpenInquiry, answer: string): void {
    this.#close(inquiry)
    const { mode, text, job } = inquiry
    const own = `${job.index}.`
    const isTold = mode === 'query' ? answer.startsWith(own) && answer.endsWith(` to ${text}`) : isWord(answer, job)
    if (!isTold && answer !== standInAnswer(text)) this.#violate('Q2', `"${text}" is answered by "${answer}"`)
  }

  /** Q5: there is none. */
  failed(inquiry: OpenInquiry, code: string | undefined, words: string): void {
    this.#close(inquiry)
    const { mode, text, job, askedAt, withinMs } = inquiry
    const isDue = this.#parts.now() - askedAt >= withinMs
    const isTrue =
      {
        ASK_TIMEOUT: isDue,
        ASK_UNSUPPORTED: mode === 'query' && job.answers === undefined,
        ASK_FAILED: mode === 'query' && job.answers === 'fails',
      }[code ?? ''] ?? mayFail.has(code ?? '')
    if (code === 'ASK_UNANSWERED') return this.#unanswered(inquiry, words)
    if (!isTrue) this.#violate('Q5', `"${text}" failed: ${words}`)
  }

  /** Q5: either it ended otherwise, or who answered in its stead did. It is told before that is recorded, which a full disk prevents. */
  #unanswered({ text, runId, isForgotten }: OpenInquiry, words: string): void {
    const { checker, later, hasEnded } = this.#parts
    later(transitMs, () => {
      if (checker.isExecuting(runId) && !hasEnded(runId) && !isForgotten())
        this.#violate('Q5', `"${text}" failed: ${words}`)
    })
  }

  /** Nobody is there any more to be told. */
  left(inquiry: OpenInquiry): void {
    inquiry.isOver = true
  }

  #close(inquiry: OpenInquiry): void {
    if (inquiry.isOver) this.#violate('Q1', `"${inquiry.text}" has two ends`)
    inquiry.isOver = true
  }

  /** Q1: the program's own, which waits for nothing else. What was due while the machine slept comes with what is due next. */
  inTime(inquiry: OpenInquiry): void {
    const lateMs = this.#lateMs(inquiry)
    const hasSlept = this.#parts.sleptMs() > inquiry.sleptMs
    if (lateMs > 0 && !hasSlept) this.#violate('Q1', `"${inquiry.text}" had its end ${lateMs} ms after its time`)
  }

  #lateMs({ askedAt, withinMs, sleptMs }: OpenInquiry): number {
    const { now, sleptMs: slept } = this.#parts
    return now() - askedAt - (slept() - sleptMs) - withinMs
  }

  /** Q6: what a session has. */
  session(texts: readonly string[]): void {
    const asked = texts.filter(isInquiry)
    if (new Set(asked).size < asked.length) this.#violate('Q6', `a session has a question twice: ${asked.join()}`)
    for (const text of asked)
      if (this.#inquiries.get(text)?.mode !== 'steer') this.#violate('Q6', `"${text}" is in a session`)
  }

  /** To be called when all is settled. */
  finish(): void {
    for (const { text, isOver, isForgotten } of this.#inquiries.values())
      if (!isOver && !isForgotten()) this.#violate('Q1', `"${text}" has no end`)
  }

  #violate(rule: string, text: string): void {
    this.#parts.checker.violate(rule, text)
  }
}

/** Whether a text of a session is a question. */
export function isInquiry(text: string): boolean {
  return text.startsWith(`${mark} `)
}

/** Whether a text of a session is the answer of a run that stood in. */
export function isOfStandIn(text: string): boolean {
  return text.startsWith('stand-in: ')
}

/** What an attempt answers to a query. */
export function answerOf({ job, epoch }: Execution, text: string): string {
  return `${job}.${epoch} to ${text}`
}

/** What a run answers that stands in for another. */
export function standInAnswer(text: string): string {
  return `stand-in: ${text}`
}

/** Whether it is something that a job says: a tag of its own, or its final words. */
function isWord(answer: string, { index }: Job): boolean {
  return answer === `job ${index}` || new RegExp(`^${index}\\.\\d+\\.\\d+$`).test(answer)
}
