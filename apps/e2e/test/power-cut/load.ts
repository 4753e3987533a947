/**
 * Load on a broker, and a memory of what the broker promised: which messages were receipted, which were taken, which
 * were taken back.
 */
import { connectBus } from '@greenroom/bus'
import type { Bus, Delivery, Peer } from '@greenroom/proto'

/** What is known of one message. */
interface Story {
  readonly kind: 'run' | 'note'
  isReceipted: boolean
  /** Its consumer began to ack or claim it. */
  wasTried: boolean
  /** That was confirmed. */
  isTaken: boolean
  wasRevoked: boolean
  /** Its revocation was confirmed, with `withdrawn`. */
  isWithdrawn: boolean
}

/** What a broker kept or broke of its promises. */
export interface Findings {
  readonly receipted: number
  readonly taken: number
  readonly withdrawn: number
  /** Receipted, and not there. */
  readonly lost: readonly string[]
  /** Taken or taken back, and there again. */
  readonly resurrected: readonly string[]
  /** Whose fate the broker remembers otherwise. */
  readonly misremembered: readonly string[]
}

const inFlight = 32
const payload = new Uint8Array(400).fill(7)

/** It was revoked, or this is the end. */
function ignore(): void {}

/** Traffic through one mailbox. */
export class Load {
  readonly #mailbox: string
  readonly #stories = new Map<string, Story>()
  readonly #bus: Bus
  #isOver = false
  #count = 0

  private constructor(mailbox: string, bus: Bus) {
    this.#mailbox = mailbox
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
        isReceipted: false,
        wasTried: false,
        isTaken: false,
        wasRevoked: false,
        isWithdrawn: false,
      }
      this.#stories.set(id, story)
      const isRevokedSoon = this.#count % 5 === 0
      const isRevokedLater = this.#count % 7 === 0
      const sent = sender.send({ to: this.#mailbox, id, kind, payload }).then(() => (story.isReceipted = true), ignore)
      // Some are taken back on their way, some of them before they came.
      if (isRevokedSoon) await this.#revoke(sender, id, story)
      await sent
      if (isRevokedLater) await this.#revoke(sender, id, story)
    }
  }

  async #revoke(sender: Peer, id: string, story: Story): Promise<void> {
    story.wasRevoked = true
    const answer = await sender.revoke({ to: this.#mailbox, id }).catch(ignore)
    if (answer === 'withdrawn' || answer === 'unknown') story.isWithdrawn = true
  }

  #take(delivery: Delivery): void {
    const story = this.#stories.get(delivery.id)
    // Every third stays held.
    if (story === undefined || this.#isOver || delivery.seq % 3 === 0) return
    story.wasTried = true
    const taken = delivery.kind === 'run' ? delivery.claim() : delivery.ack()
    taken.then(() => (story.isTaken = true), ignore)
  }

  /**
   * Compares what was promised with what another consumer finds.
   *
   * @param bus - of the broker after the power cut
   */
  async check(bus: Bus): Promise<Findings> {
    const there = new Set<string>()
    const { promise: complete, resolve } = Promise.withResolvers<void>()
    const onMessage = ({ id }: Delivery): void => {
      there.add(id)
      if (id === 'last') resolve()
    }
    await using peer = await bus.attach({
      address: this.#mailbox,
      incarnation: 'second',
      lifetime: 'named',
      credit: 1_000_000,
      onMessage,
    })
    await peer.send({ to: this.#mailbox, id: 'last', kind: 'note', payload })
    await complete
    const misremembered: string[] = []
    for (const [id, { kind, isTaken, isWithdrawn }] of this.#stories) {
      if (!isTaken && !isWithdrawn) continue
      const answer = await peer.revoke({ to: this.#mailbox, id })
      // The ack of a note that was taken back meanwhile is confirmed: it is not there any more. The claim of a run is not.
      const isBoth = isTaken && isWithdrawn && kind === 'run'
      if (isBoth || answer !== (isWithdrawn ? 'withdrawn' : 'claimed')) misremembered.push(id)
    }
    const ids = (test: (story: Story) => boolean): string[] =>
      [...this.#stories].filter(([, story]) => test(story)).map(([id]) => id)
    return {
      receipted: ids(({ isReceipted }) => isReceipted).length,
      taken: ids(({ isTaken }) => isTaken).length,
      withdrawn: ids(({ isWithdrawn }) => isWithdrawn).length,
      lost: ids(({ isReceipted, wasTried, wasRevoked }) => isReceipted && !wasTried && !wasRevoked).filter(
        (id) => !there.has(id),
      ),
      resurrected: ids(({ isTaken, isWithdrawn }) => isTaken || isWithdrawn).filter((id) => there.has(id)),
      misremembered,
    }
  }
}
