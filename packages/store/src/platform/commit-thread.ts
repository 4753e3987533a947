/** Commits in a thread, so that the caller's loop never waits for the disk. */
import { DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { messageOf, StoreError } from '../error.ts'
import type { EncodedBatch } from '../operation.ts'
import { isThreadReply, packGroup, type ThreadReply, type ThreadRequest } from './commit-message.ts'
import type { Broken, Committer } from './committer.ts'
import { commitErrorOf, pageCache, type WriterSettings } from './writer.ts'

/** Beside this file: as a source when this is a source, built when this is built. */
const entry = new URL(import.meta.url.endsWith('.ts') ? './commit-worker.ts' : './commit-worker.js', import.meta.url)

/**
 * The owner's side of the thread.
 *
 * The thread keeps the program alive only while a commit runs.
 */
class CommitThread implements Committer {
  readonly reader: DatabaseSync
  readonly #worker: Worker
  readonly #broken: Broken
  readonly #exited: Promise<void>
  #done: ((failure?: StoreError) => void) | undefined
  #closing = false

  constructor(worker: Worker, exited: Promise<void>, settings: WriterSettings, broken: Broken) {
    this.#worker = worker
    this.#exited = exited
    this.#broken = broken
    this.reader = new DatabaseSync(settings.path, { readOnly: true, timeout: settings.busyTimeoutMs })
    this.reader.exec(pageCache)
    worker.on('message', (message: unknown) => this.#receive(message))
    worker.on('error', (error) => this.#break(messageOf(error), error))
    void exited.then(() => this.#break('it has ended'))
    worker.unref()
  }

  readonly apply = (group: readonly EncodedBatch[], done: (failure?: StoreError) => void): void => {
    this.#done = done
    const packed = packGroup(group)
    this.#worker.ref()
    this.#post(packed, [packed.bodies.buffer])
  }

  async close(): Promise<void> {
    this.#closing = true
    if (this.reader.isOpen) this.reader.close()
    this.#worker.ref()
    this.#post({ type: 'close' }, [])
    await this.#exited
  }

  #post(message: ThreadRequest, transfer: ArrayBuffer[]): void {
    this.#worker.postMessage(message, transfer)
  }

  #receive(message: unknown): void {
    if (!isThreadReply(message) || message.type === 'ready') return
    this.#worker.unref()
    const done = this.#done
    this.#done = undefined
    const error = message.type === 'failed' ? commitErrorOf(message) : undefined
    done?.(error)
    if (message.type === 'failed' && message.kind === 'broken') this.#break(message.message)
  }

  #break(why: string, cause?: unknown): void {
    if (this.#closing) return
    this.#closing = true
    void this.#worker.terminate()
    this.#broken(new StoreError('STORE_FAILED', `The commit thread failed: ${why}`, { cause }))
  }
}

function firstReply(worker: Worker, exited: Promise<void>): Promise<ThreadReply> {
  return new Promise((resolve, reject) => {
    const fail = (cause?: unknown): void =>
      reject(
        new StoreError('IO_FAILED', `The commit thread did not start: ${messageOf(cause ?? 'it ended')}`, { cause }),
      )
    worker.once('error', fail)
    void exited.then(() => fail())
    worker.once('message', (message: unknown) => {
      worker.off('error', fail)
      if (isThreadReply(message)) resolve(message)
      else fail('it did not say that it is ready')
    })
  })
}

/**
 * Starts a commit thread; some 25 ms.
 *
 * @throws StoreError by rejection: `IO_FAILED`
 * @internal
 */
export async function startCommitThread(settings: WriterSettings, broken: Broken): Promise<Committer> {
  // What passes through is short-lived: with the smallest young generation the thread is as fast, and stays at a few MiB.
  const resourceLimits = { maxYoungGenerationSizeMb: 3 }
  const worker = new Worker(entry, { workerData: settings, name: 'greenroom-store', resourceLimits })
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  try {
    await firstReply(worker, exited)
    return new CommitThread(worker, exited, settings, broken)
  } catch (error) {
    await worker.terminate()
    throw error
  }
}
