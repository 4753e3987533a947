/** What the runner's journal says, by its records: the checker's own reading of them. */
import { decodePayload, parseOutcome, type Outcome } from '@greenroom/proto'
import { storeWith, type Operation, type Store } from '@greenroom/store'
import type { JournalEntry } from './checker.ts'
import type { Disk } from './disk.ts'
import { tagOf } from './executors.ts'

/** See the file. */
export class Journal {
  readonly #disk: Disk
  readonly #ends = new Map<string, Map<string, Outcome>>()

  constructor(disk: Disk) {
    this.#disk = disk
  }

  /** A store whose commits are noted when they are receipted. */
  watch(store: Store): Store {
    return storeWith(store, {
      commit: async (batch, options) => {
        await store.commit(batch, options)
        for (const operation of batch) this.#note(operation)
      },
    })
  }

  #note(operation: Operation): void {
    if (!('put' in operation) || operation.put !== 'outcome' || operation.body === undefined) return
    const outcome = parseOutcome(decodePayload(operation.body))
    const ends = this.#ends.get(operation.key) ?? new Map<string, Outcome>()
    this.#ends.set(operation.key, ends.set(JSON.stringify(outcome), outcome))
  }

  /** Every outcome that was ever recorded of a run, equal ones once. */
  outcomes(runId: string): Outcome[] {
    const record = this.#disk.store?.get('outcome', runId)
    if (record !== undefined) this.#note({ put: 'outcome', ...record })
    return [...(this.#ends.get(runId)?.values() ?? [])]
  }

  /** The runs of a job that are recorded: by the index that is their input. */
  runsOf(job: number): string[] {
    const records = this.#disk.store?.scan('run', { bodies: false }) ?? []
    return records.flatMap(({ key, meta }) => (meta['input'] === job ? [key] : []))
  }

  /** Whether it is recorded that a run is to be done. */
  has(runId: string): boolean {
    return this.#disk.store?.get('run', runId) !== undefined
  }

  /** Whether anything but an outcome is there of a run. */
  hasAnything(runId: string): boolean {
    const { store } = this.#disk
    const isAsked = ['run', 'open'].some((collection) => store?.get(collection, runId) !== undefined)
    return isAsked || (store?.count('attempt', { prefix: `${runId}/` }) ?? 0) > 0
  }

  /** The last attempt of a run, as it is recorded. */
  lastAttempt(runId: string): { readonly address: string; readonly epoch: number; readonly at: number } | undefined {
    const [record] = this.#disk.store?.scan('attempt', { prefix: `${runId}/`, reverse: true, limit: 1 }) ?? []
    if (record === undefined) return undefined
    const { address, startedAt } = record.meta
    return {
      address: typeof address === 'string' ? address : '',
      epoch: Number(record.key.slice(-6)),
      at: Number(startedAt),
    }
  }

  /** A run's entries in order. */
  entries(runId: string): JournalEntry[] {
    const records = this.#disk.store?.scan('entry', { prefix: `${runId}/` }) ?? []
    return records.map(({ key, meta, body }) => {
      const [, epoch = '', seq = ''] = key.split('/')
      const event = body === undefined ? undefined : decodePayload(body)
      const tag = isEvent(event) ? tagOf(event) : undefined
      return { epoch: Number(epoch), seq: Number(seq), tag, isMessage: meta['type'] === 'message' }
    })
  }
}

function isEvent(value: unknown): value is { readonly type: string } {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}
