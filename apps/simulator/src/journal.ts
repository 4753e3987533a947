/** What the runner's journal says, by its records: the checker's own reading of them. */
import { decodePayload, isJson, parseOutcome, type JsonValue, type Outcome } from '@greenroom/proto'
import type { WaitArgs } from '@greenroom/proto'
import type { ApprovalDecided, ApprovalRecord, Grant } from '@greenroom/runner'
import { storeWith, type Operation, type Store, type StoredRecord } from '@greenroom/store'
import type { JournalEntry } from './checker.ts'
import type { Disk } from './disk.ts'
import { tagOf } from './executors.ts'

/** A child, as it is recorded. */
export interface KinRun {
  readonly runId: string
  readonly parent: string
  /** Its ancestors, from the root. */
  readonly lineage: readonly string[]
  readonly key: string
  /** How many ancestors it has. */
  readonly depth: number
  /** The index of its job. */
  readonly job: number
}

/** See the file. */
export class Journal {
  readonly #disk: Disk
  readonly #now: () => number
  /** By run: when its end was recorded first. */
  readonly #endedAt = new Map<string, number>()
  /** By run: when its end was recorded last, as far as is known: its runner may be killed before it hears that it is. */
  readonly #recordedAt = new Map<string, number>()
  readonly #ends = new Map<string, Map<string, Outcome>>()
  /** By approval: what was decided first. */
  readonly #decided = new Map<string, string>()
  readonly #grants = new Map<string, Grant>()
  /** Approvals that were decided in two ways. */
  readonly decidedTwice = new Set<string>()

  /** @param now - in virtual milliseconds */
  constructor(disk: Disk, now: () => number) {
    this.#disk = disk
    this.#now = now
  }

  /** A store whose commits are noted when they are receipted. */
  watch(store: Store): Store {
    return storeWith(store, {
      commit: async (batch, options) => {
        this.#noteTime(batch)
        await store.commit(batch, options)
        this.#noteTime(batch)
        for (const operation of batch) this.#note(operation)
      },
    })
  }

  #noteTime(batch: readonly Operation[]): void {
    for (const operation of batch)
      if ('put' in operation && operation.put === 'outcome') this.#recordedAt.set(operation.key, this.#now())
  }

  #note(operation: Operation): void {
    if ('put' in operation && operation.put === 'decision') this.#noteDecision(operation.key, decidedIn(operation))
    if ('put' in operation && operation.put === 'grant' && isGrant(operation.meta))
      this.#grants.set(operation.key, operation.meta)
    if (!('put' in operation) || operation.put !== 'outcome' || operation.body === undefined) return
    if (!this.#endedAt.has(operation.key))
      this.#endedAt.set(operation.key, this.#recordedAt.get(operation.key) ?? this.#now())
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

  /** All runs that are recorded. */
  runs(): readonly string[] {
    return (this.#disk.store?.scan('run', { bodies: false }) ?? []).map(({ key }) => key)
  }

  /** The runs of a job that are recorded: by the index that is their input. */
  runsOf(job: number): string[] {
    const records = this.#disk.store?.scan('run', { bodies: false }) ?? []
    return records.flatMap(({ key, meta }) => (meta['input'] === job ? [key] : []))
  }

  /** The job of a run; undefined while that is not to be read, or not recorded. */
  jobOf(runId: string): number | undefined {
    const input = this.#disk.store?.get('run', runId)?.meta['input']
    return typeof input === 'number' ? input : undefined
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

  // ─── children ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** All children. */
  kinRuns(): KinRun[] {
    return (this.#disk.store?.scan('run', { bodies: false }) ?? []).flatMap((record) => kinIn(record) ?? [])
  }

  /** One child; undefined for a run that is none. */
  kin(runId: string): KinRun | undefined {
    const record = this.#disk.store?.get('run', runId)
    return record && kinIn(record)
  }

  /** Its ancestors, from the root. */
  lineage(runId: string): readonly string[] {
    const record = this.#disk.store?.get('run', runId)
    return (record && kinIn(record)?.lineage) ?? []
  }

  /** When a run's end was recorded; 0 when it was not. */
  endedAt(runId: string): number {
    return this.#endedAt.get(runId) ?? 0
  }

  /** The last attempt of a run that was suspended, and what for. */
  lastSuspension(runId: string): (WaitArgs & { readonly epoch: number }) | undefined {
    const records = this.#disk.store?.scan('attempt', { prefix: `${runId}/`, reverse: true }) ?? []
    const [last] = records.flatMap(({ key, meta }) => {
      const wait = waitIn(meta['end'])
      return wait === undefined ? [] : [{ ...wait, epoch: Number(key.slice(-6)) }]
    })
    return last
  }

  /** Whether an attempt is recorded as suspended. */
  wasSuspended(runId: string, epoch: number): boolean {
    const records = this.#disk.store?.scan('attempt', { prefix: `${runId}/` }) ?? []
    return records.some(({ key, meta }) => Number(key.slice(-6)) === epoch && waitIn(meta['end']) !== undefined)
  }

  // ─── approvals ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** One of them, as it is recorded now. */
  approval(id: string): ApprovalRecord | undefined {
    return this.approvals().find((one) => one.id === id)
  }

  /** All of them. */
  approvals(): ApprovalRecord[] {
    const { store } = this.#disk
    return (store?.scan('approval') ?? []).flatMap(({ meta, body }) => {
      if (!isApproval(meta)) return []
      const decided = store?.get('decision', meta.id)
      const asked = { ...meta, input: jsonIn(body) ?? null }
      return decided === undefined ? [asked] : [{ ...asked, decision: this.#noteDecision(meta.id, decidedIn(decided)) }]
    })
  }

  /** What has a decision. */
  decisions(): string[] {
    return this.#disk.store?.keys('decision') ?? []
  }

  /** What somebody still has to be told of. */
  unsettled(): string[] {
    return this.#disk.store?.keys('unsettled') ?? []
  }

  /** Every grant that there ever was. */
  grants(): Grant[] {
    for (const { key, meta } of this.#disk.store?.scan('grant') ?? []) if (isGrant(meta)) this.#grants.set(key, meta)
    return [...this.#grants.values()]
  }

  #noteDecision(id: string, decision: ApprovalDecided): ApprovalDecided {
    const text = JSON.stringify(decision)
    if ((this.#decided.get(id) ?? text) !== text) this.decidedTwice.add(id)
    this.#decided.set(id, text)
    return decision
  }
}

function decidedIn({ meta, body }: Pick<StoredRecord, 'meta'> & { readonly body?: Uint8Array }): ApprovalDecided {
  const { key: _key, ...said } = meta
  const input = jsonIn(body)
  const decision = { ...said, ...(input === undefined ? {} : { input }) }
  if (!isDecided(decision)) throw new Error(`this is no decision: ${JSON.stringify(meta)}`)
  return decision
}

/** Whether it records that an attempt was suspended. */
export function isSuspension(operation: Operation): boolean {
  return 'put' in operation && operation.put === 'attempt' && waitIn(operation.meta['end']) !== undefined
}

function kinIn({ key: runId, meta }: Pick<StoredRecord, 'key' | 'meta'>): KinRun | undefined {
  const { kin, input } = meta
  if (typeof kin !== 'object' || kin === null || !('lineage' in kin) || !('childKey' in kin)) return undefined
  const { lineage, childKey } = kin
  if (!Array.isArray(lineage) || typeof childKey !== 'string') return undefined
  const ancestors = lineage.map(String)
  return {
    runId,
    parent: ancestors.at(-1) ?? '',
    lineage: ancestors,
    key: childKey,
    depth: lineage.length,
    job: Number(input),
  }
}

function waitIn(end: JsonValue | undefined): WaitArgs | undefined {
  const wait = typeof end === 'object' && end !== null && 'waitsFor' in end ? end['waitsFor'] : undefined
  if (typeof wait !== 'object' || wait === null || !('runIds' in wait)) return undefined
  const { runIds, mode } = wait
  if (!Array.isArray(runIds)) return undefined
  return { runIds: runIds.map(String), mode: mode === 'any' || mode === 'first-error' ? mode : 'all' }
}

function jsonIn(body: Uint8Array | undefined): JsonValue | undefined {
  const value = body === undefined ? undefined : decodePayload(body)
  return isJson(value) ? value : undefined
}

function isApproval(meta: object): meta is Omit<ApprovalRecord, 'input' | 'decision'> {
  return 'id' in meta && typeof meta.id === 'string' && 'tool' in meta && 'deadline' in meta
}

function isDecided(meta: object): meta is ApprovalDecided {
  return 'allowed' in meta && typeof meta.allowed === 'boolean' && 'decider' in meta && 'decidedAt' in meta
}

function isGrant(meta: object): meta is Grant {
  return 'scope' in meta && 'of' in meta && 'approval' in meta && 'grantedAt' in meta
}

function isEvent(value: unknown): value is { readonly type: string } {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}
