/**
 * `@greenroom/runner/drive`: one attempt of a run with one worker, over the bus.
 *
 * @packageDocumentation
 */
export { createDrive, type Drive, type DriveOptions } from './drive.ts'
export type { Attempt, AttemptEnd, AttemptOptions, DrivenWorker } from './attempt.ts'
