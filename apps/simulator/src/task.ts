/** A job as the program knows it, over all lives of the runner. */
import type { Outcome, ReadEvent } from '@greenroom/proto'
import type { Run } from '@greenroom/runner'
import type { RunnerLife } from './life.ts'
import type { How, Inquiry, Job } from './workload.ts'

/**
 * Where a job stands.
 *
 * - `due`: to be asked for when there is a runner
 * - `asked`: not answered yet
 * - `promised`: it has a run that no crash loses, or one in this life
 * - `refused`: the runner did not take it
 * - `lost`: its runner died before it had promised anything, and left nothing of it
 */
export type Standing = 'waiting' | 'due' | 'asked' | 'promised' | 'refused' | 'lost'

/** See the file. */
export class Task {
  readonly job: Job
  readonly how: How
  standing: Standing = 'waiting'
  /** Whether it was promised that no crash loses it. */
  isDurable = false
  run: Run | undefined
  runId: string | undefined
  /** Who was asked last. */
  life: RunnerLife | undefined
  askedAt = 0
  isSteered = false
  /** What it was asked. */
  readonly inquired = new Set<Inquiry>()
  /** How often it was asked for. */
  asks = 0
  outcome: Outcome | undefined
  /** What its reader has seen; undefined for a job that is not read. */
  read: ReadEvent[] | undefined
  isRead: boolean

  constructor(job: Job, how: How) {
    this.job = job
    this.how = how
    this.read = job.reader === 'none' ? undefined : []
    this.isRead = this.read === undefined
  }

  /** Its end was none: what follows is read from the start. */
  reopen(): void {
    this.outcome = undefined
    if (this.job.reader !== 'all') return
    this.read = []
    this.isRead = false
  }

  /** Whether nothing more comes of it. */
  get isOver(): boolean {
    if (this.standing === 'lost' || this.standing === 'refused') return true
    const isAsked = this.run === undefined || (this.job.inquiries ?? []).every((one) => this.inquired.has(one))
    return this.standing === 'promised' && this.outcome !== undefined && this.isRead && isAsked
  }
}
