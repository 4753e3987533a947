/**
 * `@greenroom/runner/drive`: one attempt of a run with one worker, over the bus.
 *
 * @packageDocumentation
 */
export { createDrive, type Drive, type DriveOptions } from './drive.ts'
export type { Attempt } from './attempt.ts'
export type { Question, Questions, QuestionsOptions } from './questions.ts'
export type { Lane } from './markers.ts'
export type { AttemptOptions, DrivenWorker, HandedOver } from './attempt-options.ts'
export type { AttemptEnd, UntrippedEnd } from './attempt-end.ts'
export type { KeptTerminal, OrphanOptions, OrphanWorker } from './orphan.ts'
export type { LimiterSeams, Spent, Trip, Tripped } from './limiter.ts'
export type { Exceeded } from './meter.ts'
export type { WatchdogName } from './watchdog.ts'
