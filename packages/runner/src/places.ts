/** The places of a runner: where each run's worker is found or made, and by which mailbox the runner reaches it. */
import { GreenroomError, poolRole, residentRole, type ErrorCode, type Peer, type Timer } from '@greenroom/proto'
import { untilAbort } from './abort.ts'
import type { Config } from './config.ts'
import type { Drive } from './drive/index.ts'
import { Endpoint, type EndpointParts } from './endpoint.ts'
import { Fabric } from './fabric.ts'
import type { AttemptRecord } from './journal.ts'
import { placeOf, stampOf, type Place } from './place.ts'
import {
  FabricFolder,
  heldByAncestors,
  Residents,
  type Full,
  type Lack,
  type Outlook,
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
  /** In a fabric, whose record its worker's is. */
  readonly site?: string
  /** The worker has accepted the run. */
  accepted(): void
}

/** What is needed of a plan. */
export type Acquired = Pick<Plan, 'need' | 'place' | 'limits'>

/** What differs between attempts. */
export interface Acquiring {
  /** Lives of resident workers that did not answer this run. */
  readonly excluded: ReadonlySet<string>
  /** Whether it gave up a worker before, to wait for its children. */
  readonly returns: boolean
  /** Ends the waiting. */
  readonly signal: AbortSignal
  /** Called whenever there is no room; says what may become of that. */
  readonly onFull: (full: Full) => Outlook
}

/** What places are made of. */
export interface PlacesParts extends Pick<EndpointParts, 'openDrive'> {
  readonly config: Pick<Config, 'roles' | 'clock' | 'random' | 'partitionGraceMs' | 'logger'>
  /** The runner's mailbox on its own bus. */
  readonly drive: Drive
  /** Local workers. */
  readonly pool: Pool<WorkerNeed, PlacedWorker>
}

type Remote = Extract<Place, { kind: 'remote' }>
type Pooled = Extract<Place, { kind: 'pool' | 'fabric' }>

/** An endpoint that a role names, and who is there. */
interface RemoteSite {
  readonly endpoint: Endpoint
  readonly residents: Residents
}

/** How long a run must be held up by others that it holds up until it fails, and its parent may take to go on, in milliseconds. */
const tieMs = 250
/** What was warned of is remembered of so many. */
const mostTold = 1_000

type Codes = Readonly<Record<Lack, ErrorCode>>
const poolCodes: Codes = { nobody: 'POOL_EMPTY', unfit: 'POOL_EMPTY', full: 'POOL_FULL' }
const remoteCodes: Codes = { nobody: 'CONNECT_FAILED', unfit: 'UNKNOWN_EXECUTOR', full: 'BUSY' }

/** Says that there is nobody at a place. */
function lackingAt(place: string, codes: Codes): (lack: Lack, words: string) => GreenroomError {
  return (lack, words) => new GreenroomError(codes[lack], `${place}: ${words}`)
}

/** See above. */
export class Places {
  readonly #parts: PlacesParts
  /** By their name. */
  readonly #pools = new Map<string, Residents>()
  /** Those that are connected, or are being, by their URL: the runner has one mailbox at each. */
  readonly #remotes = new Map<string, Promise<RemoteSite>>()
  /** The same, once they are. */
  readonly #open = new Set<RemoteSite>()
  /** By folder and pool. */
  readonly #fabrics = new Map<string, Fabric>()
  /** What was warned of once. */
  readonly #told = new Set<string>()
  /** When one of those that hold each other up failed last, by the monotonic clock. */
  #brokenAt = -Infinity
  /** Until they are looked at again. */
  #tieTimer: Timer | undefined
  #isClosed = false
  /** Aborts when nobody waits for a connection any more. */
  readonly #over = new AbortController()

  /**
   * @param parts - see {@link PlacesParts}
   * @throws GreenroomError `BAD_OPTIONS` when the folder of a fabric cannot be used
   */
  constructor(parts: PlacesParts) {
    this.#parts = parts
    // From the start: who is there is known when the first run comes.
    try {
      for (const role of parts.config.roles.values()) {
        const place = placeOf(role)
        if (place.kind === 'pool') this.#poolOf(place.pool)
        if (place.kind === 'fabric') this.#fabricOf(place)
      }
    } catch (error) {
      void this.close()
      throw error
    }
  }

  /**
   * Gets a worker for a run; a placed one never falls back to a local process.
   *
   * @param plan - the run's
   * @param acquiring - see {@link Acquiring}
   * @throws GreenroomError `POOL_EMPTY`, `POOL_FULL`; of a remote `CONNECT_FAILED`, `UNAUTHORIZED`, `UNKNOWN_EXECUTOR`, `BUSY`;
   * `POOL_HELD_BY_ANCESTOR`; what `Pool.acquire` throws; `ABORTED`, `CLOSED`
   */
  acquire({ need, place, limits }: Acquired, acquiring: Acquiring): Promise<WorkerLease> {
    switch (place.kind) {
      case 'local':
        return this.#local(need, acquiring)
      case 'pool':
        return this.#pooled(need, place, acquiring)
      case 'fabric':
        return this.#fabricated(need, place, acquiring)
      case 'remote':
        return this.#remote(need, place, limits.acceptWarmMs ?? Infinity, acquiring)
    }
  }

  /** The runner's mailbox of that address, while it has one; without: at its bus. */
  peerAt(address: string | undefined): Peer {
    const endpoint = this.#endpoints.find(({ drive }) => drive.peer.address === address)
    return (endpoint ?? this.#parts).drive.peer
  }

  /**
   * The mailbox that reaches the worker of an attempt of an earlier life.
   *
   * @throws GreenroomError `CONNECT_FAILED`, what attaching rejects with
   */
  async reach({ kind, site = '' }: Pick<AttemptRecord, 'kind' | 'site'>, role: string): Promise<Drive> {
    const { config, drive } = this.#parts
    if (kind !== 'remote' && kind !== 'fabric') return drive
    const place = placeOf(config.roles.get(role) ?? {})
    if (place.kind !== kind) throw new GreenroomError('CONNECT_FAILED', `role "${role}" is not ${kind} any more`)
    if (place.kind === 'fabric') return this.#fabricOf(place).reach(site, config.partitionGraceMs)
    return (await this.#remoteAt(place, config.partitionGraceMs)).endpoint.drive
  }

  /** There may be room now, or somebody who can make it: whoever waits looks again. */
  noteRoom(): void {
    this.#parts.pool.noteRoom()
    for (const residents of this.#pools.values()) residents.noteRoom()
    for (const fabric of this.#fabrics.values()) fabric.noteRoom()
    for (const { residents } of this.#open) residents.noteRoom()
  }

  /** Chooses no resident any more. */
  refuse(): void {
    this.#isClosed = true
    for (const residents of this.#pools.values()) residents.close()
    for (const fabric of this.#fabrics.values()) fabric.refuse()
    for (const { residents } of this.#open) residents.close()
  }

  /** Leaves every endpoint in order. */
  async drain(): Promise<void> {
    await Promise.all(this.#endpoints.map(({ drive }) => drive.drain()))
  }

  /** Disconnects from every endpoint. */
  async close(): Promise<void> {
    this.refuse()
    this.#over.abort()
    const remotes = [...this.#open].map(({ endpoint }) => endpoint.close())
    await Promise.all([...remotes, ...[...this.#fabrics.values()].map((fabric) => fabric.close())])
  }

  get #endpoints(): readonly Endpoint[] {
    const fabrics = [...this.#fabrics.values()]
    return [...[...this.#open].map(({ endpoint }) => endpoint), ...fabrics.flatMap(({ endpoints }) => endpoints)]
  }

  async #local(need: WorkerNeed, { signal, onFull }: Acquiring): Promise<WorkerLease> {
    const { pool, drive } = this.#parts
    /** Since when it and others hold each other up, by the monotonic clock. */
    let tiedAt: number | undefined
    const onHeld = (slots: number): void => {
      const full: Full = { kind: 'local', has: ({ kind }) => kind === 'local', slots }
      const outlook = onFull(full)
      tiedAt = outlook === 'mutual' ? (tiedAt ?? this.#parts.config.clock.monotonic()) : undefined
      if (outlook === 'own' || (tiedAt !== undefined && this.#breaksTie(tiedAt))) throw heldByAncestors(full)
    }
    return { ...(await pool.acquire(need, signal, onHeld)), drive, accepted: () => undefined }
  }

  /** Of several that hold each other up one at a time fails: its parent goes on, which may be enough for the others. Else it is looked again. */
  #breaksTie(tiedAt: number): boolean {
    const { clock } = this.#parts.config
    const now = clock.monotonic()
    const leftMs = Math.max(tiedAt, this.#brokenAt) + tieMs - now
    if (leftMs <= 0) {
      this.#brokenAt = now
      return true
    }
    this.#tieTimer?.cancel()
    this.#tieTimer = clock.timer(leftMs, () => this.noteRoom(), { background: true })
    return false
  }

  async #pooled(
    { executor }: WorkerNeed,
    { pool, labels, version, maxWaitMs }: Pooled,
    { excluded, returns, signal, onFull }: Acquiring,
  ): Promise<WorkerLease> {
    const need = { executor, labels, version, maxWaitMs, excluded, returns }
    return leaseOf(await this.#poolOf(pool).acquire(need, signal, onFull), this.#parts.drive)
  }

  async #fabricated(
    { executor }: WorkerNeed,
    place: Extract<Place, { kind: 'fabric' }>,
    { excluded, returns, signal, onFull }: Acquiring,
  ): Promise<WorkerLease> {
    const { labels, version, maxWaitMs } = place
    const need = { executor, labels, version, maxWaitMs, excluded, returns }
    const { lease, drive, id } = await this.#fabricOf(place).acquire(need, signal, onFull)
    return { ...leaseOf(lease, drive), site: id, settleMs: this.#parts.config.partitionGraceMs / 2 }
  }

  async #remote(
    { executor }: WorkerNeed,
    place: Remote,
    withinMs: number,
    { excluded, returns, signal, onFull }: Acquiring,
  ): Promise<WorkerLease> {
    const { clock, partitionGraceMs } = this.#parts.config
    const since = clock.monotonic()
    const { endpoint, residents } = await untilAbort(signal, this.#remoteAt(place, withinMs))
    const maxWaitMs = Math.max(0, since + withinMs - clock.monotonic())
    const need = { executor, labels: {}, version: undefined, maxWaitMs, excluded, returns }
    const onHeld: Acquiring['onFull'] = (full) => {
      const outlook = onFull(full)
      // Nobody else can join it.
      if (outlook === 'own') throw heldByAncestors(full)
      return outlook
    }
    const lease = leaseOf(await residents.acquire(need, signal, onHeld), endpoint.drive)
    return { ...lease, settleMs: partitionGraceMs / 2 }
  }

  #remoteAt(place: Remote, withinMs: number): Promise<RemoteSite> {
    const known = this.#remotes.get(place.remote)
    if (known !== undefined) return known
    const opening = this.#openRemote(place, withinMs)
    this.#remotes.set(place.remote, opening)
    const forget = (): void => void this.#remotes.delete(place.remote)
    opening.then((site) => {
      const { endpoint } = site
      if (this.#isClosed) return void endpoint.close()
      this.#open.add(site)
      void endpoint.drive.closed.then(() => {
        this.#open.delete(site)
        forget()
      })
    }, forget)
    return opening
  }

  async #openRemote(place: Remote, withinMs: number): Promise<RemoteSite> {
    const endpoint = await Endpoint.open(this.#parts, place, withinMs, undefined, this.#over.signal)
    const { clock, random } = this.#parts.config
    const lacking = lackingAt(place.remote, remoteCodes)
    const options = { role: residentRole, kind: 'remote', host: stampOf(place).host, lacking, clock, random } as const
    return { endpoint, residents: new Residents({ peer: endpoint, ...options }) }
  }

  #poolOf(name: string): Residents {
    const known = this.#pools.get(name)
    if (known !== undefined) return known
    const { config, drive } = this.#parts
    const lacking = lackingAt(`pool "${name}"`, poolCodes)
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

  #fabricOf(place: Extract<Place, { kind: 'fabric' }>): Fabric {
    const { pool } = place
    const { path } = new FabricFolder(place.fabric)
    const key = `${pool} ${path}`
    const known = this.#fabrics.get(key)
    if (known !== undefined) return known
    const warn = (about: string, message: string, reason: string): void => {
      if (this.#told.has(`${path} ${about}`)) return
      // Workers without a name have another one each time.
      if (this.#told.size >= mostTold) this.#told.clear()
      this.#told.add(`${path} ${about}`)
      this.#parts.config.logger.warn(message, { fabric: path, about, reason })
    }
    const lacking = lackingAt(`pool "${pool}" in ${path}`, poolCodes)
    const fabric = new Fabric({ parts: this.#parts, path, pool, host: stampOf(place).host, lacking, warn })
    this.#fabrics.set(key, fabric)
    return fabric
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
