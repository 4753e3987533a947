/**
 * One worker of a fabric: its record, and the connection to its endpoint.
 *
 * - *S1* Its worker is shown as attached only while the record is live and the endpoint is reached.
 * - *S2* One that cannot be connected to within a second is passed over, and tried again after five, while its record is live.
 */
import { GreenroomError, type Clock, type FabricRecord, type PresenceChange } from '@greenroom/proto'
import { Endpoint, type EndpointParts } from './endpoint.ts'

/** What one is made of. */
export interface FabricSiteOptions {
  /** What its endpoint is made of. */
  readonly parts: EndpointParts
  /** As it was found first. */
  readonly record: FabricRecord
  /** Takes what is seen of its worker (S1). */
  readonly onPresence: (change: PresenceChange) => void
  /** Called when it may have become idle. */
  readonly onQuiet: () => void
  /** Learns why it is passed over. */
  readonly onUnreached: (error: unknown) => void
}

/** S2, in milliseconds. */
const openMs = 1_000
const pauseMs = 5_000

/** See S1 and S2. */
export class FabricSite {
  /** The latest. */
  record: FabricRecord
  /** Its connection, once that was tried. */
  opened: Promise<Endpoint | undefined>
  readonly #options: FabricSiteOptions
  readonly #clock: Clock
  readonly #since: number
  #endpoint: Endpoint | undefined
  #isLive = true
  #isOffered = false
  #isOpening = false
  /** Whether something was seen of it, if only that it is not reached. */
  #isSeen = false
  #isLeft = false
  /** S2, by the monotonic clock. */
  #retryAt = Infinity
  #leases = 0

  /** @param options - see {@link FabricSiteOptions} */
  constructor(options: FabricSiteOptions) {
    this.#options = options
    this.#clock = options.parts.config.clock
    this.#since = this.#clock.monotonic()
    this.record = options.record
    this.opened = this.#open()
  }

  /** Its endpoint, while there is a connection, be it a lost one. */
  get endpoint(): Endpoint | undefined {
    return this.#endpoint
  }

  /** Whether nobody has to wait any more to know about its worker. */
  get isKnown(): boolean {
    return this.#isSeen || this.#clock.monotonic() - this.#since >= openMs
  }

  /** Whether nothing of it is used, or could be. */
  get isIdle(): boolean {
    return this.#leases === 0 && !this.#isOpening && (this.#endpoint?.members.length ?? 0) === 0
  }

  /** After how many milliseconds it is to be looked at again; Infinity for never. */
  dueIn(now: number): number {
    const retryIn = this.#retryAt - this.#clock.monotonic()
    return this.#isLive ? Math.min(this.record.expiresAt - now, retryIn) : Infinity
  }

  /**
   * What the folder says of it now.
   *
   * @param record - its record; undefined when that is gone, or its lease over
   */
  update(record: FabricRecord | undefined): void {
    this.#isLive = record !== undefined
    this.record = record ?? this.record
    if (this.#isLive && this.#retryAt <= this.#clock.monotonic()) this.opened = this.#open()
    this.#offer()
  }

  /**
   * Its worker is used.
   *
   * @returns ends that; only the first call counts
   */
  use(): () => void {
    this.#leases += 1
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#leases -= 1
      this.#options.onQuiet()
    }
  }

  /** Leaves it for good. */
  async leave(): Promise<void> {
    this.#isLeft = true
    await (await this.opened)?.close()
  }

  async #open(): Promise<Endpoint | undefined> {
    const { parts, onQuiet, onUnreached } = this.#options
    this.#retryAt = Infinity
    this.#isOpening = true
    // It may be another one after a restart.
    const token = (): string => this.record.token
    try {
      const target = { remote: this.record.url, token }
      const endpoint = await Endpoint.open(parts, target, openMs, () => this.#offer())
      if (this.#isLeft) return endpoint
      this.#endpoint = endpoint
      this.#isOffered = this.#isLive
      endpoint.watch('', (change) => this.#seen(change))
      void endpoint.drive.closed.then(({ code, message }) => {
        this.#lost()
        // Else it was closed here.
        if (code !== 'CLOSED') onUnreached(new GreenroomError(code, message))
        return endpoint.close()
      })
      return endpoint
    } catch (error) {
      this.#lost()
      onUnreached(error)
      return undefined
    } finally {
      this.#isOpening = false
      onQuiet()
    }
  }

  /** S2: also of a connection that is over for good. */
  #lost(): void {
    if (this.#isLeft) return
    const members = this.#endpoint?.members ?? []
    this.#endpoint = undefined
    this.#isSeen = true
    this.#retryAt = this.#clock.monotonic() + pauseMs
    for (const member of members) this.#options.onPresence({ ...member, state: 'gone' })
  }

  /** S1 */
  #offer(): void {
    const isOffered = this.#isLive && this.#endpoint?.drive.peer.state === 'attached'
    if (isOffered === this.#isOffered) return
    this.#isOffered = isOffered
    for (const member of this.#endpoint?.members ?? []) this.#seen(member)
  }

  #seen(change: PresenceChange): void {
    this.#isSeen = true
    const isHidden = change.state === 'attached' && !this.#isOffered
    this.#options.onPresence(isHidden ? { ...change, state: 'suspect' } : change)
    if (change.state === 'gone') this.#options.onQuiet()
  }
}
