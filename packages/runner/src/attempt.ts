/**
 * The attempt loop: leads a run through its attempts, each from its admission to its end. Whether there is another one
 * is decided by `retry`.
 *
 * - *L1* An attempt holds a permit from before it gets its worker until it has ended.
 * - *L2* A worker that ended by itself before it was ever attached would do so again: that is no bad luck (R2).
 * - *L3* A worker is parked after a success, or when its run was withdrawn before it knew of it; it is retired when its
 *   run ended in order or was not taken, and killed otherwise.
 * - *L4* The bounds are the run's: an attempt has what earlier ones left.
 * - *L5* That its executor is idempotent is in an attempt's record as soon as its worker says so: another life of the runner
 *   cannot ask it any more.
 * - *L6* Nothing begins on a budget that is used up. What a last word says that was used, and was not told before, counts as well.
 */
import {
  codeOf,
  type ChildOutcome,
  type Limits,
  type Message,
  type Outcome,
  type RunEvent,
  type RunRef,
  type WaitArgs,
  type WireEvent,
} from '@greenroom/proto'
import { untilAbort } from './abort.ts'
import type { Admission } from './admission.ts'
import { BridgeDesk } from './bridge/index.ts'
import type { BudgetedRun } from './budgeted-run.ts'
import type { Config } from './config.ts'
import type { Attempt, AttemptEnd as DrivenEnd, AttemptOptions, DrivenWorker, Spent } from './drive/index.ts'
import { failed, failedBy, outcomeOf, outcomeOfTrip, withUsage } from './ending.ts'
import type { AttemptRecord, Journal, OpenRun } from './journal.ts'
import { outcomeOfLeftOver, type LeftOver } from './left-over.ts'
import { Account, budgetedLimits } from './limits.ts'
import type { WorkerEnd } from './placement/index.ts'
import { PermitHolder } from './permit-holder.ts'
import type { Acquiring, Places, WorkerLease } from './places.ts'
import type { Plan } from './plan.ts'
import type { Release } from './pool/index.ts'
import { Retry, type Tried as Judged } from './retry.ts'
import type { RunPhase } from './run.ts'
import { Suspensions, waitOf } from './suspension.ts'

/** As the drive tells it, or why no worker was ever asked. */
type AttemptEnd = DrivenEnd | { readonly how: 'unplaced'; readonly error: unknown }

/** What an attempt loop works with. */
export interface AttemptLoop {
  readonly plan: Plan
  readonly places: Places
  readonly journal: Journal
  readonly config: Pick<
    Config,
    'bridge' | 'roles' | 'logger' | 'cancelGraceMs' | 'partitionGraceMs' | 'clock' | 'random'
  >
  readonly admission: Admission
  /** Whether somebody else bounds how many such runs wait. */
  readonly exempt: boolean
  /** Ends the run. */
  readonly signal: AbortSignal
  /** Resolves when the run is recorded: nothing is sent before. */
  readonly begun: Promise<void>
  /** Its attempts of an earlier life of the runner, in order. */
  readonly earlier: OpenRun['attempts']
  /** What it draws on; undefined: on no budget. */
  readonly budget: BudgetedRun | undefined
  /** The last of them, when it was left without an end. */
  readonly leftOver: LeftOver | undefined
  readonly onPhase: (phase: Extract<RunPhase, 'delayed' | 'suspended' | 'queued'>) => void
  /** Called whenever there is no room where it is to go: see `Acquiring`. */
  readonly onFull: Acquiring['onFull']
  /** Waits for children of the run. */
  readonly waitFor: (wait: WaitArgs) => Promise<readonly ChildOutcome[]>
  /** Called when it got its permit. */
  readonly onAdmitted: () => void
  readonly onLease: (lease: WorkerLease, epoch: number) => void
  /** Called with the last attempt, when it has ended, and what its record is to be now. */
  readonly onEnd: (ref: RunRef, record: AttemptRecord) => void
  /** Called when the attempt may be acknowledged, steered and watched. */
  readonly onAttempt: (attempt: Attempt, permit: PermitHolder, lease: WorkerLease) => void
  readonly hooks: AttemptHooks
}

/** What takes an attempt's events, and learns of its progress. */
export type AttemptHooks = Pick<
  AttemptOptions,
  'flushed' | 'onAccepted' | 'onTerminal' | 'onSteerReceipt' | 'onChildren' | 'onWaits'
> & {
  /** Takes events of an attempt, in order, each once; `first` is the first one's number. */
  readonly record: (epoch: number, first: number, events: readonly (RunEvent | WireEvent)[]) => void
}

/** How the last attempt ended. */
export interface LoopEnd {
  readonly ref: RunRef
  readonly outcome: Outcome
  /** To be called when the outcome is recorded: the worker may forget it. */
  readonly confirm: () => void
  /** To be called then, whether it could be recorded or not: lets the worker go. */
  readonly retire: () => void
  /** To be called when the outcome is recorded and nobody has to be told any more: the broker may forget it. */
  readonly acknowledge: () => void
  /** It goes on without this runner: this is not how it ended. */
  readonly left?: boolean
}

/** An attempt that has ended. */
interface Tried {
  readonly ref: RunRef
  /** Undefined when there was no worker to be had. */
  readonly lease: WorkerLease | undefined
  readonly end: AttemptEnd
  /** How its worker ended, where the attempt ended with it. */
  readonly gone: WorkerEnd | undefined
  readonly outcome: Outcome
  readonly record: AttemptRecord | undefined
}

/**
 * Tries a run until it has an outcome. Never rejects.
 *
 * @param loop - see {@link AttemptLoop}
 */
export async function runAttempts(loop: AttemptLoop): Promise<LoopEnd> {
  const { plan, config, signal } = loop
  const { runId } = plan.record
  const before = loop.earlier.at(-1)
  const account = new Account(plan.limits, (sum) => loop.budget?.ended(sum))
  /** The attempt that ended last, as far as it is not dealt with. */
  let last: Tried = { ...neverTried, ref: { runId, epoch: before?.epoch ?? 1 } }
  let { leftOver } = loop
  let epoch = (before?.epoch ?? 0) + 1
  const ended = loop.earlier.filter(({ end }) => end !== undefined)
  const retry = new Retry(plan.retry, config.random, ended.filter(({ end }) => end?.waitsFor === undefined).length)
  const suspensions = new Suspensions(runId, loop.journal)
  let waitsFor = loop.earlier.findLast(({ end }) => end?.waitsFor !== undefined)?.end?.waitsFor
  const excluded = new Set<string>()
  try {
    for (const attempt of ended)
      account.add(spentBy(attempt), loop.journal.entries.usageOf({ runId, epoch: attempt.epoch }))
    if (before === undefined) await pause(loop, plan.delayMs)
    for (;;) {
      if (leftOver === undefined) {
        const resumed = waitsFor && (await suspended(loop, waitsFor))
        const next = { ...loop, plan: continued(plan, resumed, suspensions.messages) }
        last = await tryOnce(next, { runId, epoch }, account, excluded)
        if (waitOf(last.end) !== undefined) suspensions.add(last.ref)
        epoch += 1
      } else {
        // How long it executed before its runner ended nobody knows.
        account.add({ ms: 0, usage: {}, outputBytes: 0 }, leftOver.usage)
        last = triedBefore(leftOver, plan, signal)
        leftOver = undefined
      }
      const wait = signal.aborted ? undefined : waitOf(last.end)
      if (wait !== undefined) {
        waitsFor = wait
        await giveUp(loop, last)
        last = { ...neverTried, ref: last.ref }
        continue
      }
      const afterMs = signal.aborted ? undefined : retry.after(judged(last, plan))
      if (afterMs === undefined) return lastOf(loop, last, account)
      if (last.end.how === 'unclaimed' && last.end.why === 'silent' && last.record !== undefined)
        excluded.add(last.record.incarnation)
      await giveUp(loop, last)
      last = { ...neverTried, ref: last.ref }
      await pause(loop, afterMs)
    }
  } catch (error) {
    // Before the first attempt, or between two.
    const outcome = last.end.how === 'unplaced' ? failedBy(error) : last.outcome
    return lastOf(loop, { ...last, outcome: signal.aborted ? cancelledBy(signal) : outcome }, account)
  }
}

/** What is known of an attempt of an earlier life: no more time than that can have passed. */
function spentBy({ startedAt, end }: AttemptRecord): Spent {
  return { ms: end?.ms ?? Math.max(0, (end?.at ?? startedAt) - startedAt), usage: {}, outputBytes: 0 }
}

/** An attempt that an earlier life of the runner left without an end. */
function triedBefore(leftOver: LeftOver, plan: Plan, signal: AbortSignal): Tried {
  const { ref, end, record } = leftOver
  const idempotent = isIdempotent(plan, record)
  const outcome = outcomeOfLeftOver(leftOver, idempotent, signal) ?? outcomeAfter(end, undefined, signal)
  return { ref, lease: undefined, end, gone: undefined, outcome, record }
}

const neverTried = {
  lease: undefined,
  end: { how: 'unplaced', error: undefined },
  gone: undefined,
  outcome: failed('INTERNAL', 'never tried'),
  record: undefined,
} as const

/** The same plan, for whoever comes back from waiting: what it said meanwhile, and whom it waited for. */
function continued(plan: Plan, resumed: readonly ChildOutcome[] | undefined, said: readonly Message[]): Plan {
  if (resumed === undefined) return plan
  const { assignment, ticket } = plan
  const messages = [...(assignment.messages ?? []), ...said]
  return { ...plan, assignment: { ...assignment, messages, resumed }, ticket: { ...ticket, returns: true } }
}

/** Neither worker nor permit meanwhile. */
function suspended(loop: AttemptLoop, wait: WaitArgs): Promise<readonly ChildOutcome[]> {
  loop.onPhase('suspended')
  const waiting = loop.waitFor(wait)
  // Others may have hoped that it gets on.
  loop.places.noteRoom()
  return untilAbort(loop.signal, waiting)
}

async function pause({ config, signal, onPhase }: AttemptLoop, ms: number): Promise<void> {
  if (ms <= 0) return
  onPhase('delayed')
  const over = Promise.withResolvers<void>()
  const timer = config.clock.timer(ms, over.resolve, { background: true })
  try {
    await untilAbort(signal, over.promise)
  } finally {
    timer.cancel()
  }
}

/** The role decides; where it says nothing, what the executor says of itself. */
function isIdempotent({ idempotent }: Plan, record: AttemptRecord | undefined): boolean {
  return idempotent ?? record?.idempotent ?? false
}

/** L5, where the role does not decide it. */
function told({ worker }: WorkerLease, { need, idempotent }: Plan): Pick<AttemptRecord, 'idempotent'> {
  const served = worker.serves?.find(({ name }) => name === need.executor)
  return idempotent === undefined && served?.idempotent === true ? { idempotent: true } : {}
}

function judged({ end, gone, outcome, record }: Tried, plan: Plan): Judged {
  const mayStillRun = end.how === 'failed' || (end.how === 'lost' && end.mayStillRun)
  const judgement = { outcome, idempotent: isIdempotent(plan, record), mayStillRun }
  if (end.how === 'unclaimed' && end.why === 'refused') return { ...judgement, claimed: false, blameless: 'refused' }
  // Of a remote there is no other one that could be asked.
  const isLost = end.how === 'unclaimed' && record?.kind !== 'remote' && (gone === undefined || wasLost(gone))
  // What could not be followed to its end may have been claimed.
  const claimed = end.how !== 'unclaimed' && end.how !== 'unplaced'
  return { ...judgement, claimed, ...(isLost ? { blameless: 'lost' } : {}) }
}

function lastOf(loop: AttemptLoop, { ref, lease, end, outcome, record }: Tried, { usage }: Account): LoopEnd {
  if (record !== undefined) loop.onEnd(ref, record)
  return {
    ref,
    outcome: withUsage(outcome, usage),
    confirm: end.how === 'terminal' ? end.confirm : () => undefined,
    retire: () => lease?.release('retire'),
    acknowledge: end.how === 'terminal' ? end.acknowledge : () => undefined,
    left: end.how === 'left',
  }
}

/** Another attempt follows: this one is recorded, and its worker may forget it. */
async function giveUp({ journal, signal }: AttemptLoop, { ref, lease, end, record }: Tried): Promise<void> {
  try {
    if (record !== undefined) await untilAbort(signal, journal.attempt(ref, record, { signal }))
    if (end.how !== 'terminal') return
    end.confirm()
    end.acknowledge()
  } finally {
    lease?.release('retire')
  }
}

/** One attempt, from its admission to its end: so long it holds its permit. */
async function tryOnce(
  loop: AttemptLoop,
  ref: RunRef,
  account: Account,
  excluded: ReadonlySet<string>,
): Promise<Tried> {
  const { plan, admission, signal } = loop
  loop.budget?.check()
  loop.onPhase('queued')
  using permit = new PermitHolder(admission, { ...plan.ticket, exempt: loop.exempt || ref.epoch > 1 }, signal)
  await permit.enter()
  loop.onAdmitted()
  let lease: WorkerLease
  try {
    const { returns = false } = plan.ticket
    lease = await permit.yielding((onLack) =>
      loop.places.acquire(plan, {
        excluded,
        returns,
        signal,
        onFull(full) {
          const outlook = loop.onFull(full)
          onLack(outlook)
          return outlook
        },
      }),
    )
  } catch (error) {
    const end = { how: 'unplaced', error } as const
    return {
      ref,
      lease: undefined,
      end,
      gone: undefined,
      outcome: outcomeAfter(end, undefined, signal),
      record: undefined,
    }
  }
  return await use(loop, ref, { lease, permit }, account)
}

/** What an attempt holds. */
interface Held {
  readonly lease: WorkerLease
  readonly permit: PermitHolder
}

async function use(loop: AttemptLoop, ref: RunRef, held: Held, account: Account): Promise<Tried> {
  const { lease } = held
  const { clock } = loop.config
  const { worker, warm } = lease
  loop.onLease(lease, ref.epoch)
  const started: AttemptRecord = {
    address: worker.address,
    incarnation: worker.incarnation,
    host: worker.host,
    warm,
    ...(worker.kind === 'local' ? {} : { kind: worker.kind }),
    ...(lease.site === undefined ? {} : { site: lease.site }),
    ...told(lease, loop.plan),
    startedAt: clock.now(),
    ...(worker.pid === undefined ? {} : { pid: worker.pid }),
    ...(worker.process === undefined ? {} : { process: worker.process }),
    ...(loop.plan.detached ? { detached: { limits: boundsOf(loop, loop.plan, account) } } : {}),
  }
  const { end, lastSeq, ms } = await follow(loop, ref, held, started, account)
  // It may still run, and nobody looks after it any more: whoever else uses the worker loses it too.
  if (end.how === 'failed') worker.kill()
  const release = releaseAfter(end)
  if (release !== undefined) lease.release(release)
  const isGone = end.how === 'lost' || (end.how === 'unclaimed' && end.why === 'gone')
  const gone = isGone ? await worker.gone : undefined
  const untold = end.how === 'unplaced' ? 'unclaimed' : end.how
  const how = end.how === 'terminal' ? end.terminal.status : untold
  const waitsFor = waitOf(end)
  const ended = { how, lastSeq, at: clock.now(), ms, ...(waitsFor && { waitsFor }) }
  const record: AttemptRecord = { ...started, ...told(lease, loop.plan), end: ended }
  const outcome = outcomeAfter(end, gone, loop.signal)
  // L1: before the permit is given back, so that the next run finds it. A detached one is leaving.
  const isWell = outcome.status === 'completed' || waitsFor !== undefined
  if (isWell && !loop.plan.detached) lease.release('park')
  return { ref, lease, end, gone, outcome, record: end.how === 'left' ? undefined : record }
}

/** Only as long as the lease is held: what an attempt waits for ends with it. */
function drivenBy({ worker, gone }: WorkerLease): DrivenWorker {
  const { address, incarnation, pid, isResident = false } = worker
  return { address, incarnation, pid, isResident, gone, kill: () => worker.kill() }
}

/** L3, but for what is decided later: who ended in order is retired once that is recorded. */
function releaseAfter(end: AttemptEnd): Release | undefined {
  if (end.how === 'terminal' || end.how === 'left') return undefined
  if (end.how === 'unplaced') return 'unused'
  if (end.how !== 'unclaimed') return 'kill'
  switch (end.why) {
    case 'refused':
      return undefined
    case 'silent':
      return 'hung'
    case 'gone':
      return 'kill'
    case 'cancelled':
      return end.tripped === undefined ? 'unused' : 'kill'
  }
}

/** What an attempt may use. Of one that goes on without its runner nobody else could say that a budget is used up. */
function boundsOf({ budget }: Pick<AttemptLoop, 'budget'>, { detached }: Plan, { left }: Account): Limits {
  return detached && budget !== undefined ? budgetedLimits(left, budget.left) : left
}

/** From the record of an attempt to its end. */
async function follow(
  { plan, journal, config, signal, ...loop }: AttemptLoop,
  ref: RunRef,
  { lease, permit }: Held,
  record: AttemptRecord,
  account: Account,
): Promise<{ readonly end: AttemptEnd; readonly lastSeq: number; readonly ms: number }> {
  const { worker, warm } = lease
  try {
    const withinMs = account.left.totalMs ?? Infinity
    await untilAbort(signal, Promise.all([loop.begun, journal.attempt(ref, record, { signal, withinMs })]))
    loop.budget?.check()
  } catch (error) {
    return { end: { how: 'unplaced', error }, lastSeq: 0, ms: 0 }
  }
  const limits = boundsOf(loop, plan, account)
  const budget = plan.detached ? undefined : loop.budget?.left
  const bridge = new BridgeDesk({
    ...config,
    servers: config.bridge,
    allowance: plan.detached ? undefined : config.roles.get(plan.assignment.role)?.bridge,
    answer: (result) => attempt.answer('bridge-result', result),
  })
  const attempt = lease.drive.start({
    // Where its worker is, the runner may have another name.
    run: { ...plan.assignment, replyTo: lease.drive.peer.address, limits, epoch: ref.epoch, ...(budget && { budget }) },
    worker: drivenBy(lease),
    signal,
    acceptMs: (warm ? plan.limits.acceptWarmMs : plan.limits.acceptColdMs) ?? Infinity,
    cancelGraceMs: config.cancelGraceMs,
    settleMs: lease.settleMs ?? config.partitionGraceMs,
    ...loop.hooks,
    onAccepted: () => {
      lease.accepted()
      loop.hooks.onAccepted?.()
    },
    onBridge: (request) => bridge.take(request),
    record: (first, events) => loop.hooks.record(ref.epoch, first, events),
  })
  attempt.stopped.addEventListener('abort', () => bridge.close(), { once: true })
  loop.onAttempt(attempt, permit, lease)
  const over = new AbortController()
  void worker.attached.then(() => {
    const more = told(lease, plan)
    if (over.signal.aborted || record.idempotent === more.idempotent) return undefined
    return journal.attempt(ref, { ...record, ...more }, { signal: over.signal }).catch(() => undefined)
  })
  const end = await attempt.ended
  over.abort()
  const wasCovered = loop.budget?.excess === undefined
  account.add(attempt.spent, end.how === 'terminal' ? end.terminal.usage : undefined)
  const tripped = wasCovered ? loop.budget?.excess : undefined
  const isDone = end.how === 'terminal' && end.terminal.status === 'completed'
  const judgedEnd = isDone && tripped !== undefined ? { tripped, ...end } : end
  return { end: judgedEnd, lastSeq: attempt.received, ms: attempt.spent.ms }
}

/**
 * The end of a run that has no worker which would have to know.
 *
 * @param ref - the last of its attempts, or the first that there might have been
 * @param outcome - how it ended
 */
export function endedAlone(ref: RunRef, outcome: Outcome): LoopEnd {
  const nothing = (): void => undefined
  return { ref, outcome, confirm: nothing, retire: nothing, acknowledge: nothing }
}

/** Whether it was well and was killed, or else it could not even start. */
function wasLost({ attached, exit }: WorkerEnd): boolean {
  return attached || exit.signal !== null
}

/** Whether there is nothing that could be started. */
function isNowhere({ exit }: WorkerEnd): boolean {
  return codeOf(exit.error) === 'COMMAND_NOT_FOUND'
}

/** What those are told who wait for a detached run when its runner closes. */
export const leftOutcome: Outcome = failed('CLOSED', 'its runner was closed, and the run goes on: attach to it later', {
  mayStillRun: true,
})

/**
 * The outcome of a run that was cancelled.
 *
 * @param signal - has aborted
 */
export function cancelledBy(signal: AbortSignal): Outcome {
  return { status: 'cancelled', reason: String(signal.reason) }
}

function outcomeAfter(end: AttemptEnd, worker: WorkerEnd | undefined, signal: AbortSignal): Outcome {
  if (end.how === 'unplaced') return signal.aborted ? cancelledBy(signal) : failedBy(end.error)
  if (end.how === 'left') return leftOutcome
  const never = end.how === 'terminal' || end.how === 'lost' ? end.eventsLost : undefined
  const eventsLost = never ?? (end.how === 'terminal' ? end.terminal.lost : undefined)
  if (end.tripped !== undefined) return outcomeOfTrip(end.tripped, eventsLost)
  if (end.how === 'terminal' && !(signal.aborted && end.terminal.status === 'suspended'))
    return outcomeOf(end.terminal, eventsLost)
  const lost = eventsLost === undefined ? {} : { eventsLost }
  if (end.how === 'failed') return failedBy(end.error)
  if (signal.aborted) return { ...cancelledBy(signal), ...lost }
  if (end.how === 'unclaimed' && end.why === 'silent') return { status: 'timeout', which: 'accept' }
  if (end.how === 'unclaimed' && end.why === 'refused')
    return failed('BUSY', 'each worker that was asked was busy, or takes no more runs')
  const mayStillRun = end.how === 'lost' && end.mayStillRun
  if (worker === undefined) return failed('WORKER_LOST', 'the worker did not take the run', { mayStillRun })
  // What was claimed had a worker, also where the runner could not see it attach.
  if (end.how === 'lost' || wasLost(worker)) return failed('WORKER_LOST', worker.message, { mayStillRun, ...lost })
  return worker.error === undefined
    ? failed('WORKER_SPAWN_FAILED', worker.message, isNowhere(worker) ? { retry: 'never' } : {})
    : failed(worker.error.code, worker.error.message)
}
