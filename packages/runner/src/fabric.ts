/**
 * A fabric's pool: resident workers on this machine that are found in a folder (`platform/fabric-folder`), each at an endpoint
 * of its own. No broker stands between them; what a pool on a bus does, this does.
 *
 * - *F1* Only a worker whose record is live and whose endpoint is reached gets runs. What it has already it keeps, whatever becomes
 *   of the record.
 * - *F2* Each is connected to when its record is seen first, and stays so: how busy it is is known, not guessed.
 * - *F3* The folder is read when it changes, when a run needs a worker, when a lease ends, and each second while somebody waits,
 *   since not every folder can be watched.
 * - *F4* One whose record is gone is left when nothing of it is used any more.
 * - *F5* What is no record, or of a worker that does not answer, is passed over, and named in a warning once.
 */
import { GreenroomError, type PresenceChange, type Timer } from '@greenroom/proto'
import type { Drive } from './drive/index.ts'
import type { Endpoint, EndpointParts } from './endpoint.ts'
import { FabricSite } from './fabric-site.ts'
import {
  FabricFolder,
  Residents,
  type Full,
  type Lack,
  type Outlook,
  type ResidentLease,
  type ResidentNeed,
} from './placement/index.ts'

/** What a fabric is made of. */
export interface FabricOptions {
  /** What endpoints are made of. */
  readonly parts: EndpointParts
  /** The folder. */
  readonly path: string
  /** The pool. */
  readonly pool: string
  /** The machine. */
  readonly host: string
  /** Says that there is no worker. */
  readonly lacking: (lack: Lack, words: string) => GreenroomError
  /** Says what was passed over, about which file or worker (F5). */
  readonly warn: (about: string, message: string, reason: string) => void
}

/** The right to use one of its workers. */
export interface FabricLease {
  readonly lease: ResidentLease
  /** The runner's mailbox at its endpoint. */
  readonly drive: Drive
  /** Whose record it is. */
  readonly id: string
}

/** F3, in milliseconds: how often to look while somebody waits, and how long changes are gathered. */
const lookMs = 1_000
const gatherMs = 20

/** See F1 to F5. */
export class Fabric {
  readonly #options: FabricOptions
  readonly #folder: FabricFolder
  /** By the URL of their endpoints. */
  readonly #sites = new Map<string, FabricSite>()
  readonly #residents: Residents
  readonly #watcher: Disposable
  #tell: (change: PresenceChange) => void = () => undefined
  #alarm: { readonly timer: Timer; readonly at: number } | undefined
  #waiting = 0
  #isClosed = false

  /**
   * @param options - see {@link FabricOptions}
   * @throws GreenroomError `BAD_OPTIONS` when the folder cannot be used
   */
  constructor(options: FabricOptions) {
    const { parts, path, host, lacking } = options
    const { clock, random } = parts.config
    this.#options = options
    this.#folder = new FabricFolder(path)
    const peer = {
      watch: (_role: string, listener: (change: PresenceChange) => void) => {
        this.#tell = listener
        return () => (this.#tell = () => undefined)
      },
    }
    this.#residents = new Residents({ peer, role: options.pool, kind: 'fabric', host, lacking, clock, random })
    this.#watcher = this.#folder.watch(() => this.#lookIn(gatherMs))
    this.#look()
  }

  /** The endpoints that it is connected to. */
  get endpoints(): readonly Endpoint[] {
    return [...this.#sites.values()].flatMap(({ endpoint }) => endpoint ?? [])
  }

  /**
   * Gets a worker, or waits for one.
   *
   * @param need - which
   * @param signal - ends the waiting
   * @param onFull - see `Residents.acquire`
   * @throws GreenroomError what `lacking` says; `POOL_HELD_BY_ANCESTOR`, `ABORTED`, `CLOSED`
   */
  async acquire(need: ResidentNeed, signal: AbortSignal, onFull?: (full: Full) => Outlook): Promise<FabricLease> {
    const { clock } = this.#options.parts.config
    const until = clock.monotonic() + need.maxWaitMs
    this.#waiting += 1
    try {
      for (;;) {
        this.#look()
        const isKnown = [...this.#sites.values()].every((site) => site.isKnown)
        const maxWaitMs = Math.max(until - clock.monotonic(), isKnown ? 0 : lookMs)
        const lease = await this.#residents.acquire({ ...need, maxWaitMs }, signal, onFull)
        const site = [...this.#sites.values()].find(({ endpoint }) =>
          endpoint?.members.some(({ incarnation }) => incarnation === lease.worker.incarnation),
        )
        if (site?.endpoint !== undefined) return leaseAt(site, site.endpoint.drive, lease)
        // It was lost on the way here.
        lease.release(false)
      }
    } finally {
      this.#waiting -= 1
    }
  }

  /**
   * The runner's mailbox at a worker's endpoint: for what an earlier life of the runner left there.
   *
   * @param id - of the worker's record
   * @param withinMs - how long to wait for it
   * @throws GreenroomError `CONNECT_FAILED`
   */
  async reach(id: string, withinMs: number): Promise<Drive> {
    const { clock } = this.#options.parts.config
    const until = clock.monotonic() + withinMs
    this.#waiting += 1
    try {
      while (!this.#isClosed) {
        this.#look()
        const endpoint = await [...this.#sites.values()].find(({ record }) => record.id === id)?.opened
        if (endpoint !== undefined) return endpoint.drive
        if (clock.monotonic() >= until) break
        await new Promise<void>((resolve) => void clock.timer(lookMs, resolve, { background: true }))
      }
      throw new GreenroomError('CONNECT_FAILED', `no worker "${id}" answers in ${this.#folder.path}`)
    } finally {
      this.#waiting -= 1
    }
  }

  /** See `Residents.noteRoom`. */
  noteRoom(): void {
    this.#residents.noteRoom()
  }

  /** Chooses nobody any more. */
  refuse(): void {
    this.#isClosed = true
    this.#alarm?.timer.cancel()
    this.#watcher[Symbol.dispose]()
    this.#residents.close()
  }

  /** Leaves every worker. */
  async close(): Promise<void> {
    this.refuse()
    await Promise.all([...this.#sites.values()].map((site) => site.leave()))
  }

  /** F3, F4 */
  #look(): void {
    if (this.#isClosed) return
    const { parts, pool, warn } = this.#options
    const now = parts.config.clock.now()
    const { records, faults } = this.#folder.read()
    for (const { file, reason } of faults) warn(file, 'a file in a fabric was passed over', reason)
    const live = records.filter(({ role, expiresAt }) => role === pool && expiresAt > now)
    const byUrl = new Map(live.map((record) => [record.url, record]))
    for (const [url, site] of this.#sites) {
      const record = byUrl.get(url)
      site.update(record)
      if (record !== undefined || !site.isIdle) continue
      this.#sites.delete(url)
      void site.leave()
    }
    for (const [url, record] of byUrl) if (!this.#sites.has(url)) this.#sites.set(url, this.#siteOf(record))
    const dueIn = [...this.#sites.values()].map((site) => site.dueIn(now))
    this.#lookIn(Math.max(gatherMs, Math.min(this.#waiting > 0 ? lookMs : Infinity, ...dueIn)))
  }

  #siteOf(record: FabricSite['record']): FabricSite {
    const { parts, warn } = this.#options
    return new FabricSite({
      parts,
      record,
      onPresence: (change) => this.#tell(change),
      onQuiet: () => this.#lookIn(gatherMs),
      onUnreached: (error) => warn(record.url, 'a worker of a fabric was passed over', String(error)),
    })
  }

  /** One look at a time is ahead: the earliest that somebody wants. */
  #lookIn(ms: number): void {
    if (this.#isClosed || ms === Infinity) return
    const { clock } = this.#options.parts.config
    const at = clock.monotonic() + ms
    if (this.#alarm !== undefined && this.#alarm.at <= at) return
    this.#alarm?.timer.cancel()
    const fire = (): void => {
      this.#alarm = undefined
      this.#look()
    }
    this.#alarm = { timer: clock.timer(ms, fire, { background: true }), at }
  }
}

function leaseAt(site: FabricSite, drive: Drive, lease: ResidentLease): FabricLease {
  const end = site.use()
  const release = (refused: boolean): void => {
    lease.release(refused)
    end()
  }
  return { lease: { worker: lease.worker, accepted: () => lease.accepted(), release }, drive, id: site.record.id }
}
