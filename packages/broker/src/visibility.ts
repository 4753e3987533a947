/**
 * The visibility timeout of a consumer that asked for one (D12): what it holds and neither settles nor touches in time
 * returns, as if it had been given back.
 *
 * - *V1* Time runs only while the consumer is attached: one that is away is judged by its grace, and cannot touch anything.
 *   It begins anew for all that it holds when it is back.
 * - *V2* Everybody's time is as long, so what is held stands in the order of its deadlines (`Mailbox.held`), and one alarm is
 *   enough. It is not taken back when the message that it was set for is settled; it looks for the next one when it rings.
 * - *V3* After an alarm that rings late, since the process stood still, all time begins anew: nobody could touch anything.
 * - *V4* What is returned is returned in its turn: who settles or touches it before that has it.
 */
import type { CoreParts, Courier } from './courier.ts'
import { longestDelayMs } from './alarms.ts'
import type { Mailbox } from './mailbox.ts'
import type { Message } from './message.ts'
import { join } from './plan.ts'
import type { Traffic } from './traffic.ts'

/** After a failed commit, what is overdue is returned this much later. */
const retryMs = 1_000

/** What a timeout needs. */
export interface VisibilityParts extends CoreParts {
  readonly courier: Courier
  readonly traffic: Traffic
}

/** See V1 to V4. */
export class Visibility {
  readonly #parts: VisibilityParts
  readonly #mailbox: Mailbox
  readonly #incarnation: string
  readonly #timeoutMs: number
  #isOver = false
  /** While something is set, or what rang is being worked off. */
  #alarm: (() => void) | undefined

  /** @param incarnation - who holds what is in the mailbox until {@link Visibility.stop} */
  constructor(parts: VisibilityParts, mailbox: Mailbox, incarnation: string, timeoutMs: number) {
    this.#parts = parts
    this.#mailbox = mailbox
    this.#incarnation = incarnation
    this.#timeoutMs = timeoutMs
  }

  /** A held message's time begins, or begins anew. */
  begin(message: Message): void {
    message.dueAt = this.#parts.clock.monotonic() + this.#timeoutMs
    this.#mailbox.holdLast(message)
    this.#set()
  }

  /** The time of all that is held begins anew. */
  beginAll(): void {
    const dueAt = this.#parts.clock.monotonic() + this.#timeoutMs
    for (const message of this.#mailbox.held) message.dueAt = dueAt
    this.#set()
  }

  /** The consumer is away, or not the consumer any more. */
  stop(): void {
    this.#isOver = true
    this.#alarm?.()
  }

  #set(): void {
    if (this.#isOver || this.#alarm !== undefined) return
    const [first] = this.#mailbox.held
    if (first !== undefined) this.#setAt(first.dueAt)
  }

  #setAt(dueAt: number): void {
    const { alarms, clock } = this.#parts
    this.#alarm = alarms.set(dueAt - clock.monotonic(), () => {
      void this.#ring(dueAt)
    })
  }

  async #ring(dueAt: number): Promise<void> {
    const { clock, logger } = this.#parts
    try {
      if (clock.monotonic() > dueAt + longestDelayMs) this.beginAll()
      else await this.#returnOverdue()
      this.#alarm = undefined
      this.#set()
    } catch (error) {
      if (this.#isOver) return
      logger('warn', 'timeout not stored', { address: this.#mailbox.address, error: String(error) })
      this.#setAt(clock.monotonic() + retryMs)
    }
  }

  async #returnOverdue(): Promise<void> {
    const { ledger, traffic, courier } = this.#parts
    const mailbox = this.#mailbox
    const overdue: Message[] = []
    for (const message of mailbox.held)
      if (this.#isOverdue(message)) overdue.push(message)
      else break
    if (overdue.length === 0) return
    const ids = overdue.map(({ id }) => id)
    await mailbox.turns.take(ids, async () => {
      const plans = overdue
        .filter((message) => this.#isOverdue(message))
        .map((message) => traffic.giveBack(mailbox, message, 'timeout', this.#incarnation))
      if (plans.length > 0) await ledger.carryOut(join(plans))
    })
    courier.pump(mailbox)
  }

  #isOverdue({ place, dueAt }: Message): boolean {
    return !this.#isOver && place === 'held' && dueAt <= this.#parts.clock.monotonic()
  }
}
