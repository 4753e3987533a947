/** The places of a runner: where each run's worker is found or made, and by which mailbox the runner reaches it. */
import { GreenroomError, poolRole, type ErrorCode, type Peer } from '@greenroom/proto'
import { untilAbort } from './abort.ts'
import type { Config } from './config.ts'
import type { Drive } from './drive/index.ts'
import { Endpoint, type EndpointParts } from './endpoint.ts'
import type { AttemptRecord } from './journal.ts'
import { placeOf, stampOf, type Place } from './place.ts'
import {
  Residents,
  type Lack,
  type PlacedWorker,
  type ResidentLease,
  type WorkerEnd,
  type WorkerNeed,
} from './placement/index.ts'
import type { Plan } from './plan.ts'
import type { Lease, Pool } from './pool/index.ts'

/** The right to use a worker, and the mailbox that reaches it. */
export interface WorkerLease extends Lease<PlacedWorker> {
  /** Resolves when the worker is gone; of a resident it says whether that was seen dead. */
  readonly gone: Promise<Pick<WorkerEnd, 'message' | 'seenDead'>>
  /** Follows what the worker says. */
  readonly drive: Drive
  /** How long to look for what a worker that is gone left behind, in milliseconds. = `partitionGraceMs` */
  readonly settleMs?: number
  /** The worker has accepted the run. */
  accepted(): void
}

/** What is needed of a plan. */
export type Acquired = Pick<Plan, 'need' | 'place' | 'limits'>

/** What differs between attempts. */
export interface Acquiring {
  /** Lives of resident workers that did not answer this run. */
  readonly excluded: ReadonlySet<string>
  /** Ends the waiting. */
  readonly signal: AbortSignal
  /** Called whenever there is no room, with how many may be there at a time; what it throws ends the waiting. */
  readonly onFull: (slots: number) => void
}

/** What places are made of. */
export interface PlacesParts extends Pick<EndpointParts, 'openDrive'> {
  readonly config: Pick<Config, 'roles' | 'clock' | 'random' | 'partitionGraceMs'>
  /** The runner's mailbox on its own bus. */
  readonly drive: Drive
  /** Local workers. */
  readonly pool: Pool<WorkerNeed, PlacedWorker>
}

type Remote = Extract<Place, { kind: 'remote' }>

const poolCodes: Readonly<Record<Lack, ErrorCode>> = { nobody: 'POOL_EMPTY', unfit: 'POOL_EMPTY', full: 'POOL_FULL' }

/** See above. */
export class Places {
  readonly #parts: PlacesParts
  /** By their name. */
  readonly #pools = new Map<string, Residents>()
  /** Those that are connected, or are being, by their URL: the runner has one mailbox at each. */
  readonly #endpoints = new Map<string, Promise<Endpoint>>()
  /** The same, once they are. */
  readonly #open = new Set<Endpoint>()
  #isClosed = false

  /** @param parts - see {@link PlacesParts} */
  constructor(parts: PlacesParts) {
    this.#parts = parts
    // From the start: who is there is known when the first run comes.
    for (const role of parts.config.roles.values()) {
      const place = placeOf(role)
      if (place.kind === 'pool') this.#poolOf(place.pool)
    }
  }

  /**
   * Gets a worker for a run; a placed one never falls back to a local process.
   *
   * @param plan - the run's
   * @param acquiring - see {@link Acquiring}
   * @throws GreenroomError `POOL_EMPTY`, `POOL_FULL`; of a remote `CONNECT_FAILED`, `UNAUTHORIZED`, `UNKNOWN_EXECUTOR`, `BUSY`;
   * what `Pool.acquire` throws; `ABORTED`, `CLOSED`
   */
  acquire({ need, place, limits }: Acquired, acquiring: Acquiring): Promise<WorkerLease> {
    switch (place.kind) {
      case 'local':
        return this.#local(need, acquiring)
      case 'pool':
        return this.#pooled(need, place, acquiring)
      case 'remote':
        return this.#remote(need, place, limits.acceptWarmMs ?? Infinity, acquiring)
    }
  }

  /** By whom a worker is reached. */
  peerOf(address: string): Peer {
    const endpoint = [...this.#open].find(({ residents }) => residents.has(address))
    return (endpoint ?? this.#parts).drive.peer
  }

  /**
   * The mailbox that reaches the worker of an attempt of an earlier life.
   *
   * @throws GreenroomError `CONNECT_FAILED`, what attaching rejects with
   */
  async reach({ kind }: Pick<AttemptRecord, 'kind'>, role: string): Promise<Drive> {
    if (kind !== 'remote') return this.#parts.drive
    const { config } = this.#parts
    const place = placeOf(config.roles.get(role) ?? {})
    if (place.kind !== 'remote') throw new GreenroomError('CONNECT_FAILED', `role "${role}" is not remote any more`)
    return (await this.#endpointAt(place, config.partitionGraceMs)).drive
  }

  /** Chooses no resident any more. */
  refuse(): void {
    this.#isClosed = true
    for (const residents of this.#pools.values()) residents.close()
    for (const { residents } of this.#open) residents.close()
  }

  /** Leaves every endpoint in order. */
  async drain(): Promise<void> {
    await Promise.all([...this.#open].map(({ drive }) => drive.drain()))
  }

  /** Disconnects from every endpoint. */
  async close(): Promise<void> {
    this.refuse()
    await Promise.all([...this.#open].map((endpoint) => endpoint.close()))
  }

  async #local(need: WorkerNeed, { signal, onFull }: Acquiring): Promise<WorkerLease> {
    const { pool, drive } = this.#parts
    return { ...(await pool.acquire(need, signal, onFull)), drive, accepted: () => undefined }
  }

  async #pooled(
    { executor }: WorkerNeed,
    { pool, labels, version, maxWaitMs }: Extract<Place, { kind: 'pool' }>,
    { excluded, signal }: Acquiring,
  ): Promise<WorkerLease> {
    const need = { executor, labels, version, maxWaitMs, excluded }
    return leaseOf(await this.#poolOf(pool).acquire(need, signal), this.#parts.drive)
  }

  async #remote(
    { executor }: WorkerNeed,
    place: Remote,
    withinMs: number,
    { excluded, signal }: Acquiring,
  ): Promise<WorkerLease> {
    const { clock, partitionGraceMs } = this.#parts.config
    const since = clock.monotonic()
    const endpoint = await untilAbort(signal, this.#endpointAt(place, withinMs))
    const maxWaitMs = Math.max(0, since + withinMs - clock.monotonic())
    const need = { executor, labels: {}, version: undefined, maxWaitMs, excluded }
    const lease = leaseOf(await endpoint.residents.acquire(need, signal), endpoint.drive)
    return { ...lease, settleMs: partitionGraceMs / 2 }
  }

  #endpointAt(place: Remote, withinMs: number): Promise<Endpoint> {
    const known = this.#endpoints.get(place.remote)
    if (known !== undefined) return known
    const opening = Endpoint.open(this.#parts, place, stampOf(place).host, withinMs)
    this.#endpoints.set(place.remote, opening)
    const forget = (): void => void this.#endpoints.delete(place.remote)
    opening.then((endpoint) => {
      if (this.#isClosed) return void endpoint.close()
      this.#open.add(endpoint)
      void endpoint.drive.closed.then(() => {
        this.#open.delete(endpoint)
        forget()
      })
    }, forget)
    return opening
  }

  #poolOf(name: string): Residents {
    const known = this.#pools.get(name)
    if (known !== undefined) return known
    const { config, drive } = this.#parts
    const lacking = (lack: Lack, words: string): GreenroomError =>
      new GreenroomError(poolCodes[lack], `pool "${name}": ${words}`)
    const { clock, random } = config
    const options = {
      peer: drive.peer,
      role: poolRole(name),
      kind: 'pool',
      host: name,
      lacking,
      clock,
      random,
    } as const
    const residents = new Residents(options)
    this.#pools.set(name, residents)
    return residents
  }
}

/** Whoever gives it back in order before it was accepted was refused. */
function leaseOf(lease: ResidentLease, drive: Drive): WorkerLease {
  return {
    worker: lease.worker,
    gone: lease.worker.gone,
    warm: true,
    drive,
    accepted: () => lease.accepted(),
    release: (how) => lease.release(how === 'retire'),
  }
}
