/**
 * Load on a broker, and a memory of what the broker promised: which messages were receipted, which were taken, which
 * were taken back, and when it said so. Times are those of `process.hrtime.bigint()`, when the answer was read.
 */
import { connectBus } from '@greenroom/bus'
import type { Bus, Delivery, Peer, Receipt, Revocation } from '@greenroom/proto'

/** What is known of one message. */
interface Story {
  readonly kind: 'run' | 'note'
  receipt: Receipt | undefined
  receiptedAt: bigint | undefined
  /** Its consumer began to ack or claim it. */
  wasTried: boolean
  /** That was confirmed. */
  takenAt: bigint | undefined
  wasRevoked: boolean
  /** What was answered to that. */
  told: Revocation | undefined
  /** Its revocation was confirmed, with `withdrawn` or `unknown`. */
  withdrawnAt: bigint | undefined
}

/** A promise that was broken, with all that tells why; times are microseconds before the cut, negative after it. */
export interface Breach {
  readonly id: string
  /**
   * - `lost`: receipted, and not there, or not even known
   * - `resurrected`: taken or taken back, and there again
   * - `misremembered`: the broker says that it ended otherwise
   */
  readonly how: 'lost' | 'resurrected' | 'misremembered'
  readonly kind: 'run' | 'note'
  readonly receipt: Receipt | undefined
  readonly receiptedUs: number | undefined
  /** Whether the first consumer began to ack or claim it. */
  readonly wasTried: boolean
  readonly takenUs: number | undefined
  /** Whether its sender began to take it back. */
  readonly wasRevoked: boolean
  readonly withdrawnUs: number | undefined
  /** What the sender was told when he took it back. */
  readonly told: Revocation | undefined
  /** Whether it was in its mailbox on the disk after the cut, before any broker had looked at it. */
  readonly isOnDisk: boolean
  /** What the broker after the cut says to its revocation: `unknown` when it never heard of it. */
  readonly answer: Revocation | undefined
  /** Whether it was delivered: `late` after a message that was sent to the same mailbox after the cut. */
  readonly came: boolean | 'late'
}

/** What a broker kept or broke of its promises. */
export interface Findings {
  readonly receipted: number
  readonly taken: number
  readonly withdrawn: number
  readonly breaches: readonly Breach[]
  /** How many were receipted after the cut began, and are not there: by a flush that was under way (see `loop-disk`). */
  readonly lostSince: number
}

/** How many messages may be on their way at once. */
export const inFlight = 32
const payload = new Uint8Array(400).fill(7)

/** It was revoked, or this is the end. */
function ignore(): void {}

/** Traffic through one mailbox. */
export class Load {
  /** Its address. */
  readonly mailbox: string
  readonly #stories = new Map<string, Story>()
  readonly #bus: Bus
  #isOver = false
  #count = 0

  private constructor(mailbox: string, bus: Bus) {
    this.mailbox = mailbox
    this.#bus = bus
  }

  /** Begins to send to, take from and take back from a mailbox. */
  static async start(mailbox: string, url: string, token: string): Promise<Load> {
    const bus = connectBus({ url, token })
    const load = new Load(mailbox, bus)
    const onMessage = (delivery: Delivery): void => load.#take(delivery)
    await bus.attach({ address: mailbox, incarnation: 'first', lifetime: 'named', credit: 256, onMessage })
    const sender = await bus.attach({ address: `${mailbox}.sender`, incarnation: 'first', lifetime: 'named' })
    for (let lane = 0; lane < inFlight; lane += 1) void load.#send(sender)
    return load
  }

  /** Nobody does anything any more; what is unanswered stays so. */
  async stop(): Promise<void> {
    this.#isOver = true
    await this.#bus.close()
  }

  async #send(sender: Peer): Promise<void> {
    while (!this.#isOver) {
      this.#count += 1
      const id = `m${this.#count}`
      const kind = this.#count % 2 === 0 ? 'run' : 'note'
      const story: Story = {
        kind,
        receipt: undefined,
        receiptedAt: undefined,
        wasTried: false,
        takenAt: undefined,
        wasRevoked: false,
        told: undefined,
        withdrawnAt: undefined,
      }
      this.#stories.set(id, story)
      const isRevokedSoon = this.#count % 5 === 0
      const isRevokedLater = this.#count % 7 === 0
      const receipted = (receipt: Receipt): void => {
        story.receipt = receipt
        story.receiptedAt = process.hrtime.bigint()
      }
      const sent = sender.send({ to: this.mailbox, id, kind, payload }).then(receipted, ignore)
      // Some are taken back on their way, some of them before they came.
      if (isRevokedSoon) await this.#revoke(sender, id, story)
      await sent
      if (isRevokedLater) await this.#revoke(sender, id, story)
    }
  }

  async #revoke(sender: Peer, id: string, story: Story): Promise<void> {
    story.wasRevoked = true
    const told = await sender.revoke({ to: this.mailbox, id }).catch(ignore)
    if (told === 'withdrawn' || told === 'unknown') story.withdrawnAt = process.hrtime.bigint()
    if (told !== undefined) story.told = told
  }

  #take(delivery: Delivery): void {
    const story = this.#stories.get(delivery.id)
    // Every third stays held.
    if (story === undefined || this.#isOver || delivery.seq % 3 === 0) return
    story.wasTried = true
    const taken = delivery.kind === 'run' ? delivery.claim() : delivery.ack()
    taken.then(() => (story.takenAt = process.hrtime.bigint()), ignore)
  }

  /**
   * Compares what was promised before the cut with what another consumer finds.
   *
   * @param bus - of the broker after the cut
   * @param cutAt - when the cut began; what was said later may be a lie: see `loop-disk`
   * @param onDisk - the ids of the mailbox on the disk after the cut
   */
  async check(bus: Bus, cutAt: bigint, onDisk: ReadonlySet<unknown>): Promise<Findings> {
    const said = (at: bigint | undefined): at is bigint => at !== undefined && at < cutAt
    const { second, came, late } = await this.#takeOver(bus)
    await using peer = second
    const answered = [...this.#stories].filter(
      ([, { receiptedAt, takenAt, withdrawnAt }]) => (receiptedAt ?? takenAt ?? withdrawnAt) !== undefined,
    )
    const revoked = answered.map(async ([id]) => [id, await peer.revoke({ to: this.mailbox, id })] as const)
    const answers = new Map(await Promise.all(revoked))
    const counts = { receipted: 0, taken: 0, withdrawn: 0, lostSince: 0 }
    const breaches: Breach[] = []
    for (const [id, story] of answered) {
      const { kind, receiptedAt, wasTried, takenAt, wasRevoked, withdrawnAt, ...rest } = story
      const answer = answers.get(id)
      const isTaken = said(takenAt)
      const isWithdrawn = said(withdrawnAt)
      const isThere = came.has(id)
      const broke = (how: Breach['how']): void => {
        const before = (at: bigint | undefined): number | undefined =>
          at === undefined ? undefined : Number(cutAt - at) / 1_000
        const times = { receiptedUs: before(receiptedAt), takenUs: before(takenAt), withdrawnUs: before(withdrawnAt) }
        const found = { isOnDisk: onDisk.has(id), answer, came: late.has(id) ? ('late' as const) : isThere }
        breaches.push({ id, how, kind, wasTried, wasRevoked, ...rest, ...times, ...found })
      }
      if (isTaken) counts.taken += 1
      if (isWithdrawn) counts.withdrawn += 1
      if (isTaken || isWithdrawn) {
        // The ack of a note that was taken back meanwhile is confirmed: it is not there any more. The claim of a run is not.
        const isEither = kind === 'note' && isTaken && wasRevoked
        const fate = isWithdrawn ? 'withdrawn' : 'claimed'
        // What was answered to its revocation may have come too late to count.
        const isRight = answer === fate || (isEither && answer === 'withdrawn')
        if (!isRight || (isTaken && isWithdrawn && !isEither)) broke('misremembered')
        if (isThere) broke('resurrected')
      }
      if (said(receiptedAt)) counts.receipted += 1
      const isUntouched = !wasTried && !wasRevoked
      const isMissing = answer === 'unknown' || (isUntouched && !isThere)
      if (receiptedAt === undefined || !isMissing) continue
      if (said(receiptedAt)) broke('lost')
      else counts.lostSince += 1
    }
    return { ...counts, breaches }
  }

  /** Another consumer takes the mailbox over; `came` is complete, `late` what is delivered out of turn after that. */
  async #takeOver(bus: Bus): Promise<{
    readonly second: Peer
    readonly came: ReadonlySet<string>
    readonly late: ReadonlySet<string>
  }> {
    const came = new Set<string>()
    const late = new Set<string>()
    const { promise: complete, resolve } = Promise.withResolvers<void>()
    const onMessage = ({ id }: Delivery): void => {
      if (came.has('last')) late.add(id)
      else came.add(id)
      if (id === 'last') resolve()
    }
    const owner = { address: this.mailbox, incarnation: 'second', lifetime: 'named' } as const
    const second = await bus.attach({ ...owner, credit: 1_000_000, onMessage })
    await second.send({ to: this.mailbox, id: 'last', kind: 'note', payload })
    await complete
    return { second, came, late }
  }
}
