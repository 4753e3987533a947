/** The queues: named mailboxes with a sender, consumers that die and are replaced, and an operator. */
import { connectOperator, type ConnectedOperator } from '@greenroom/bus'
import { codeOf, type Delivery, type Peer } from '@greenroom/proto'
import { ProcessClock } from '@greenroom/worker/testing'
import type { Chance } from './chance.ts'
import { QueueRules, type Letter } from './queue-rules.ts'
import type { World } from './world.ts'

/** What the broker is told, so that its bounds are met. */
export interface QueueBounds {
  readonly maxAttempts: number
  readonly mailboxMessages: number
}

/** One consumer's life. */
interface Consumer {
  readonly host: string
  readonly queue: string
  readonly clock: ProcessClock
  /** 1, 2, … of its queue. */
  readonly ordinal: number
  peer: Peer | undefined
  isOver: boolean
}

/** What is worth another try; the last two come to a sender that was away for too long. */
const passing: ReadonlySet<string> = new Set(['MAILBOX_FULL', 'STORAGE_FULL', 'FENCED', 'CLOSED'])

const operatorToken = 'the-operator-simulated'

/** See the file. */
export class Queues {
  readonly bounds: QueueBounds
  readonly #world: World
  readonly #chance: Chance
  readonly #rules: QueueRules
  readonly #names: readonly string[]
  readonly #consumers = new Map<string, Consumer>()
  #sender: Peer | undefined
  #left: number
  #unsettled = 0
  #number = 0
  #isCalm = false

  constructor(world: World, chance: Chance) {
    this.#world = world
    this.#chance = chance
    this.bounds = { maxAttempts: chance.between(3, 5), mailboxMessages: 24 }
    this.#rules = new QueueRules(world.checker, this.bounds.maxAttempts)
    this.#names = chance.happens(0.5) ? ['queue.0'] : ['queue.0', 'queue.1']
    this.#left = chance.one([4, 12, 40])
  }

  /** The token of operators. */
  static readonly token = operatorToken

  /** Hosts on the network that may be cut off. */
  get hosts(): string[] {
    return ['sender', ...[...this.#consumers.values()].filter(({ isOver }) => !isOver).map(({ host }) => host)]
  }

  /** Whether all that was to be sent is settled, and nothing is in the queues. */
  get isOver(): boolean {
    const inQueues = this.#world.network.broker?.stats().messages.some((message) => message.includes(' in queue.'))
    return this.#left === 0 && this.#unsettled === 0 && inQueues === false
  }

  get whatHangs(): string {
    const there = this.#world.network.broker?.stats().messages.filter((message) => message.includes(' in queue.'))
    return `queues: ${this.#left} to be sent, ${this.#unsettled} unsettled, ${there?.join(', ')}`
  }

  /** Begins. */
  open(): void {
    for (const name of this.#names) void this.#consume(name)
    void this.#send()
    void this.#operate()
  }

  /** Nothing goes wrong any more: what is poison stays it. */
  calm(): void {
    this.#isCalm = true
    for (const name of this.#names) if (this.#consumers.get(name)?.isOver !== false) void this.#consume(name)
  }

  /** A consumer dies, and is replaced. */
  killConsumer(): void {
    const consumer = this.#chance.oneOf([...this.#consumers.values()].filter(({ isOver }) => !isOver))
    if (consumer === undefined) return
    const { host, queue, clock } = consumer
    this.#world.trace.add(`consumer ${host} is killed`)
    consumer.isOver = true
    clock.end()
    this.#world.network.die(host)
    const restart = (): void => {
      if (this.#consumers.get(queue) === consumer) void this.#consume(queue)
    }
    this.#world.clock.timer(this.#chance.one([0, 100, 40_000]), restart)
  }

  // ─── sending ───────────────────────────────────────────────────────────────────────────────────────────────────

  async #send(): Promise<void> {
    await this.#attachSender()
    const gapMs = this.#chance.one([0, 50, 1_500])
    while (this.#left > 0) {
      this.#left -= 1
      void this.#sendOne()
      if (gapMs > 0) await this.#pause(this.#chance.below(gapMs))
    }
  }

  async #attachSender(): Promise<void> {
    this.#number += 1
    const bus = this.#world.client('sender', 'queue')
    const incarnation = `sender-${this.#number}`
    try {
      const peer = await bus.attach({ address: 'sender', incarnation, lifetime: 'named' })
      this.#sender = peer
      // It was away for too long.
      void peer.closed.then(({ code }) => (code === 'CLOSED' ? undefined : this.#attachSender()))
    } catch {
      // The same, before it had an answer.
      await this.#attachSender()
    }
  }

  async #sendOne(): Promise<void> {
    const { clock, harm, network } = this.#world
    const chance = this.#chance
    this.#number += 1
    const queue = this.#names[this.#number % this.#names.length] ?? 'queue.0'
    const ttlMs = chance.happens(0.2) ? chance.one([1, 2_000, 60_000]) : undefined
    const { sleptMs } = harm
    const isPoison = chance.happens(0.15)
    const letter = this.#rules.sent({
      queue,
      id: `letter-${this.#number}`,
      ttlMs,
      isPoison,
      sentAt: clock.monotonic(),
      sleptMs,
    })
    const message = { to: queue, id: letter.id, kind: 'letter', payload: new Uint8Array([1, 2, 3]) }
    const again = chance.happens(0.3) ? chance.below(5_000) : undefined
    this.#unsettled += 1
    await this.#through(async () => {
      await this.#sender?.send(ttlMs === undefined ? message : { ...message, ttlMs })
      letter.isReceipted = true
      const count = network.broker?.stats().messages.filter((one) => one.endsWith(` in ${queue}`)).length ?? 0
      this.#rules.counted(queue, count, this.bounds.mailboxMessages)
    })
    if (again !== undefined && letter.isReceipted && harm.sleptMs === sleptMs) {
      await this.#pause(again)
      // The same once more, while it is remembered: nothing comes of it.
      if (harm.sleptMs === sleptMs) await this.#through(async () => void (await this.#sender?.send(message)))
    }
    this.#unsettled -= 1
  }

  /** Tries until it is through, or nobody can tell any more. */
  async #through(attempt: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        const code = codeOf(error)
        this.#world.trace.add(`queue: ${String(error)}`)
        if (code === 'OUTCOME_UNKNOWN') return
        if (!passing.has(code ?? '')) return this.#world.checker.violate('Q5', `a send: ${String(error)}`)
        await this.#pause(1_000)
      }
    }
  }

  // ─── consuming ─────────────────────────────────────────────────────────────────────────────────────────────────

  async #consume(queue: string): Promise<void> {
    this.#number += 1
    const clock = new ProcessClock(this.#world.clock)
    const host = `consumer-${this.#number}`
    const consumer: Consumer = { host, queue, clock, ordinal: this.#rules.began(queue), peer: undefined, isOver: false }
    this.#consumers.set(queue, consumer)
    const bus = this.#world.client(host, 'queue', { clock })
    const over = (code: string | undefined): void => {
      if (consumer.isOver || code === 'CLOSED') return
      // It was away for too long: what it held has gone to somebody else, or waits.
      consumer.isOver = true
      if (this.#consumers.get(queue) === consumer) void this.#consume(queue)
    }
    try {
      consumer.peer = await bus.attach({
        address: queue,
        incarnation: host,
        lifetime: 'named',
        credit: 4,
        onMessage: (delivery) => this.#take(consumer, delivery),
      })
      this.#rules.attached(queue, consumer.ordinal)
      void consumer.peer.closed.then(({ code }) => over(code))
    } catch (error) {
      over(codeOf(error))
    }
  }

  #take(consumer: Consumer, delivery: Delivery): void {
    if (consumer.isOver) return
    const { clock, harm } = this.#world
    const letter = this.#rules.delivered(delivery, consumer.ordinal, clock, harm.sleptMs)
    if (letter === undefined) return
    const chance = this.#chance
    const roll = this.#isCalm ? 0 : chance.below(10)
    const afterMs = roll < 6 ? 0 : chance.below(chance.one([50, 4_000]))
    const act = (): void => {
      if (consumer.isOver) return
      if (letter.isPoison || roll === 1 || roll === 9) this.#giveBack(consumer, letter, delivery)
      else this.#ack(letter, delivery)
    }
    if (afterMs === 0) act()
    else consumer.clock.timer(afterMs, act)
  }

  #ack(letter: Letter, delivery: Delivery): void {
    letter.mayBeGone = true
    delivery.ack().then(
      () => void (letter.isAcked = true),
      () => undefined,
    )
  }

  #giveBack({ ordinal }: Consumer, letter: Letter, delivery: Delivery): void {
    const delayMs = this.#chance.one([undefined, undefined, 10, 3_000])
    const notBefore = this.#world.clock.monotonic() + (delayMs ?? 0)
    letter.mayReturns += 1
    letter.givenBack = { consumer: ordinal, attempt: delivery.attempt, notBefore }
    delivery.nack(delayMs === undefined ? {} : { delayMs }).then(
      () => {
        // It may be with somebody else by now, or put back.
        if (delivery.attempt === letter.returns + 1) letter.returns += 1
      },
      () => undefined,
    )
  }

  // ─── the operator ──────────────────────────────────────────────────────────────────────────────────────────────

  async #operate(): Promise<void> {
    while (!this.#isCalm) {
      await this.#pause(this.#chance.one([1_000, 5_000, 20_000]))
      await this.#lookAfter(true)
    }
  }

  /** Looks through the dead letters, and perhaps decides about some; says which there are, undefined when it could not. */
  async #lookAfter(decides: boolean): Promise<ReadonlySet<string> | undefined> {
    let operator: ConnectedOperator | undefined
    try {
      operator = await this.#connected()
      const found = await operator.deadLetters()
      for (const letter of found) this.#rules.listed(letter)
      if (decides) for (const { address, id } of found) await this.#decide(operator, address, id)
      return new Set(found.map(({ id }) => id))
    } catch (error) {
      this.#world.trace.add(`operator: ${String(error)}`)
      return undefined
    } finally {
      await operator?.close()
    }
  }

  #connected(): Promise<ConnectedOperator> {
    const { clock, network } = this.#world
    return connectOperator({
      url: 'wss://broker.simulated',
      token: operatorToken,
      clock,
      socket: network.socketOf('operator'),
    })
  }

  async #decide(operator: ConnectedOperator, address: string, id: string): Promise<void> {
    const letter = this.#rules.letters.get(id)
    const roll = this.#chance.below(4)
    if (letter === undefined || roll > 1) return
    if (roll === 0) {
      const before = { ...letter }
      this.#world.checker.requeued(address, id)
      // Whatever becomes of the answer: from now on it may begin anew.
      Object.assign(letter, {
        wasRequeued: true,
        returns: 0,
        givenBack: undefined,
        isPoison: this.#chance.happens(0.5),
      })
      await operator.requeue({ address, id }).catch((error: unknown) => {
        letter.isPoison ||= before.isPoison
        throw error
      })
    } else {
      letter.mayBeGone = true
      const isWhole = (await operator.purge({ address, id })) === 1
      if (isWhole) letter.isPurged = true
    }
    this.#world.trace.add(`operator ${roll === 0 ? 'requeues' : 'purges'} ${id}`)
  }

  // ─── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Q1: to be called when it is over. */
  async finish(): Promise<void> {
    const { clock, checker } = this.#world
    const dead = await this.#lookAfter(false)
    if (dead === undefined) return checker.violate('I7', 'the operator does not get through')
    this.#rules.finish(dead, clock.monotonic())
  }

  /** Everybody leaves. */
  async leave(): Promise<void> {
    await Promise.all([this.#sender?.drain(), ...[...this.#consumers.values()].map(({ peer }) => peer?.drain())])
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#world.clock.timer(ms, resolve))
  }
}
