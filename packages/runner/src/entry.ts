/** The worker's file, and the types of the executors that it serves. Types only: the file itself is never imported. */
import type { JsonValue } from '@greenroom/proto'

/** A worker's entry file together with the type of its executors. Made by {@link workerEntry}. */
export interface WorkerEntry<Executors = Readonly<Record<string, unknown>>> {
  /** A `file:` URL of a JavaScript or TypeScript file that calls `serveWorker`. */
  readonly url: URL
  /** Never there: carries the type. */
  readonly '~executors'?: Executors
}

/** A program that is a worker: it gets the provisioning document on its standard input. */
export interface CommandEntry {
  /** The program and its arguments; `--greenroom-worker` is added as the last one. */
  readonly command: readonly string[]
  /** Its working directory. = the runner's */
  readonly cwd?: string
}

/**
 * Names a worker's entry file and, as type argument, its executors: inputs and outputs of runs are inferred from them.
 *
 * @param url - usually `new URL('./worker.ts', import.meta.url)`
 *
 * @example
 * ```ts
 * import { workerEntry } from '@greenroom/runner'
 *
 * // In a program: workerEntry<typeof import('./worker.ts').executors>(…)
 * const worker = workerEntry<{ greet: { '~types'?: { input: string; output: number } } }>(
 *   new URL('./worker.ts', import.meta.url),
 * )
 * console.log(worker.url.protocol) // file:
 * ```
 */
export function workerEntry<Executors>(url: URL): WorkerEntry<Executors> {
  return { url }
}

/** What an executor's type says about its work: structural, so that the runner needs no import of the worker. */
export interface Typed<Input, Output> {
  /** Never there: carries the types. */
  readonly '~types'?:
    | {
        /** What its runs are given. */
        readonly input: Input
        /** What they bring back. */
        readonly output: Output
      }
    | undefined
}

/** What a run with this executor is given; any JSON where its type says nothing. */
export type InputOf<Executor> = unknown extends Executor
  ? JsonValue | undefined
  : Executor extends Typed<infer Input, unknown>
    ? unknown extends Input
      ? JsonValue | undefined
      : Input
    : JsonValue | undefined

/** What a run with this executor brings back; any JSON where its type says nothing. */
export type OutputOf<Executor> = unknown extends Executor
  ? JsonValue
  : Executor extends Typed<unknown, infer Output>
    ? unknown extends Output
      ? JsonValue
      : Output
    : JsonValue
