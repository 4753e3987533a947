/** Who runs the transactions: this loop, or a thread. */
import type { DatabaseSync } from 'node:sqlite'
import type { ApplyGroup } from '../commit-queue.ts'
import type { StoreError } from '../error.ts'
import type { EncodedBatch, EncodedOperation } from '../operation.ts'
import { commitErrorOf, Writer, type WriterSettings } from './writer.ts'

/**
 * Runs one group at a time.
 *
 * @internal
 */
export interface Committer {
  readonly apply: ApplyGroup
  /** A connection on this thread on which reads see what was committed. */
  readonly reader: DatabaseSync
  /** Gives back every connection. Called when nothing runs, or after the committer said that it broke. */
  close(): Promise<void>
}

/**
 * Called at most once, when no commit can work any more.
 *
 * @internal
 */
export type Broken = (error: StoreError) => void

function* operationsOf(group: readonly EncodedBatch[]): Generator<EncodedOperation> {
  for (const { operations } of group) yield* operations
}

/**
 * Commits on the caller's loop, which stands still for the time of a flush; reads share the connection.
 *
 * @internal
 */
export function ownLoopCommitter(settings: WriterSettings, broken: Broken): Committer {
  const writer = new Writer(settings)
  return {
    reader: writer.db,
    apply: (group, done) => {
      const failure = writer.apply(operationsOf(group))
      const error = failure && commitErrorOf(failure)
      done(error)
      if (error && failure?.kind === 'broken') broken(error)
    },
    close: async () => writer.close(),
  }
}
