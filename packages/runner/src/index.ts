/**
 * `@greenroom/runner`: places, starts, supervises and ends runs.
 *
 * Data goes one way: *plan* (what to do, as values) → *placement* (a worker process) → *drive* (one attempt over the
 * bus) → outcome → journal → caller.
 *
 * - `runner` the door · `live-runner` owns runs and schedulers · `assembly` puts the parts together · `composite` several
 *   behind one door · `run` one execution, as its caller holds it · `execution` the object behind it · `options` what can be
 *   asked for · `config` checks it, by `option-check` · `entry` the worker's file and the types of its executors
 * - `plan` values of a run · `admission` the queue that every attempt passes · `attempt` the attempt loop · `retry` whether
 *   there is another one · `ending` how an attempt's end becomes an outcome
 * - `scheduler` children of a parent in the background · `parent-stream` their events as one · `duty` what it wants of a run
 * - `placement/` where a role runs · `drive/` one attempt with one worker: both are given to the runner, never each other
 * - `approval/` who decides on what runs ask for · `bridge/` tools beside the runner
 * - `journal` the runner's tables · `run-journal` one run's part of them · `run-time` how long it takes · `recorder` the way of its events into them ·
 *   `reader` reading a run, late or live · `past-run` one that has ended · `retention` which are forgotten
 * - `left-over` what a crash left of a run · `detached` runs that go on without their runner
 * - `asking` what a run is asked · `stand-in` runs that answer in the stead of one that ended
 * - `session-store` transcripts · `session-deadline` that they answer · `transcript` a run's messages on their way there ·
 *   `steering` texts on theirs to a run
 * - `persistence` what a disk could not take now · `store-error` its errors in users' words
 * - `limits` the bounds of a run, and what is left of them · `budget` those of its tree · `budgets` all trees ·
 *   `budgeted-run` one run of them · `budget-journal` their records · `room` places that are waited for
 * - `abort` waiting that ends with a run · `launcher` how processes come into being · `platform/` processes, files and sockets
 *
 * @packageDocumentation
 */
export type {
  Approval,
  ApprovalDecided,
  ApprovalFilter,
  ApprovalOptions,
  ApprovalRecord,
  ApprovalSubject,
  Answerer,
  AnswerOptions,
  Ask,
  Decide,
  DecideOptions,
  Grant,
  HandlerOptions,
  MayAnswer,
  Review,
  RunnerApprovals,
  Verdict,
} from './approval/index.ts'
export type { BridgeAllowance, ServedTool, ToolServer, ToolServerOptions } from './bridge/index.ts'
export { createApprovalHandler, isVerdict } from './approval/index.ts'
export { findApprovalsDoor } from './platform/approvals-door.ts'
export { composeRunners, type ComposableRunner, type ComposedRoles, type CompositeRunner } from './composite.ts'
export { workerEntry, type CommandEntry, type InputOf, type OutputOf, type Typed, type WorkerEntry } from './entry.ts'
export type { Launched, Launcher, LaunchIdentity, LaunchSpec, Logger, WorkerExit } from './launcher.ts'
export type {
  AdmissionOptions,
  BusChoice,
  ExecutorNames,
  NoRoleOption,
  OnlyRoleOptions,
  PoolPlacement,
  RemotePlacement,
  RoleOptions,
  Roles,
  RunnerOptions,
  SecretSource,
  WarmPoolOptions,
  WorkerSource,
} from './options.ts'
export type { PlaceKind } from './placement/index.ts'
export { describeMiss, explainReuse, type Fingerprint, type FingerprintDifference } from './pool/index.ts'
export type { EndReason, PoolMiss, PoolStats } from './pool/index.ts'
export type { BudgetOptions } from './budget.ts'
export type { LimitOptions } from './limits.ts'
export type { RetryOptions } from './retry.ts'
export type { ReadAfter } from './reader.ts'
export type {
  AttachOptions,
  Run,
  RunPhase,
  RunSpec,
  StartOptions,
  RunStatus,
  SendOptions,
  SteerStatus,
  TypedRunSpec,
} from './run.ts'
export type { AnyScheduler, Completion, Scheduler, SchedulerOptions } from './scheduler.ts'
export type { ChildEvent, ChildRun } from './parent-stream.ts'
export { entryLauncher } from './platform/process-launcher.ts'
export { findOperatorDoor, type OperatorDoor } from './platform/operator-door.ts'
export { pruneJournal, type Pruned } from './retention.ts'
export { hasJournal } from './runner-schema.ts'
export {
  createRunner,
  type AnyRoleTypes,
  type AnyRunner,
  type RoleTypes,
  type Runner,
  type RunnerStats,
} from './runner.ts'
export {
  createMemorySessions,
  type Session,
  type SessionDescription,
  type SessionEntry,
  type SessionStore,
} from './session-store.ts'
