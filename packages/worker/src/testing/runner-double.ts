/**
 * What stands in for the runner: sends runs to workers and keeps what comes back. It speaks the whole link, but decides
 * nothing: no retries, no deadlines, no journal.
 */
import { createLinkReceiver, type LinkReceiver } from '@greenroom/bus'
import {
  decodeMessage,
  encodeMessage,
  isRunKind,
  kinds,
  systemRandom,
  type AskMode,
  type Bus,
  type Delivery,
  type LiveMessage,
  type Peer,
  type Random,
  type Run,
  type RunKind,
  type RunMessages,
  type RunRef,
  type SteerMode,
  type WireEvent,
} from '@greenroom/proto'

type Terminal = RunMessages['terminal']
type SteerStatus = RunMessages['steer-receipt']['status']

/** One run as the double sees it. */
export class DoubleRun {
  readonly ref: RunRef
  /** What arrived so far, in order. */
  readonly events: WireEvent[] = []
  /** Every terminal that arrived: there must be one. */
  readonly terminals: Terminal[] = []
  readonly receipts = new Map<string, PromiseWithResolvers<SteerStatus>>()
  readonly replies = new Map<string, PromiseWithResolvers<RunMessages['ask-reply']>>()
  readonly accepted = Promise.withResolvers<RunMessages['accepted']>()
  readonly refused = Promise.withResolvers<RunMessages['refused']>()
  readonly #ended = Promise.withResolvers<Terminal>()
  readonly #peer: Peer
  readonly #to: string
  readonly #link: LinkReceiver
  #reading: boolean
  #changed = Promise.withResolvers<void>()

  /**
   * @param peer - the double's mailbox
   * @param to - the worker's
   * @param ref - the attempt
   * @param reading - whether events are acknowledged as they come
   */
  constructor(peer: Peer, to: string, ref: RunRef, reading: boolean) {
    this.ref = ref
    this.#peer = peer
    this.#to = to
    this.#reading = reading
    this.#link = createLinkReceiver({ peer, to, ref, deliver: (_first, events) => this.#deliver(events) })
  }

  /** Resolves with the terminal once all events before it are here. */
  get terminal(): Promise<Terminal> {
    return this.#ended.promise
  }

  /**
   * Resolves when so many events are here.
   *
   * @param count - how many
   */
  async seen(count: number): Promise<readonly WireEvent[]> {
    while (this.events.length < count) await this.#changed.promise
    return this.events
  }

  /** Acknowledges all that came, and all that comes. */
  read(): void {
    this.#reading = true
    this.#link.ack(this.#link.received)
    this.#settle()
  }

  /**
   * Cancels the run, as its runner does once it is claimed.
   *
   * @param reason - told to the executor
   */
  async cancel(reason: string): Promise<void> {
    await this.#send('cancel', `cancel-${this.ref.runId}-${this.ref.epoch}`, { ...this.ref, reason })
    this.publish('cancel', { ...this.ref, reason })
  }

  /**
   * Sends a text to the run.
   *
   * @param text - the text
   * @param mode - when to take it up
   * @returns what became of it
   */
  async steer(text: string, mode: SteerMode = 'now'): Promise<SteerStatus> {
    const steerId = systemRandom.id()
    const receipt = Promise.withResolvers<SteerStatus>()
    this.receipts.set(steerId, receipt)
    await this.#send('steer', `steer-${steerId}-${this.ref.epoch}`, { ...this.ref, steerId, text, mode })
    return receipt.promise
  }

  /**
   * Asks the run something.
   *
   * @param question - the question
   * @param mode - how
   * @returns what it says; never resolves for one that has ended
   */
  async ask(question: string, mode: AskMode = 'query'): Promise<RunMessages['ask-reply']> {
    const askId = systemRandom.id()
    const reply = Promise.withResolvers<RunMessages['ask-reply']>()
    this.replies.set(askId, reply)
    await this.#send('ask', `ask-${askId}`, { ...this.ref, askId, question, mode })
    return reply.promise
  }

  /**
   * Says something on the live lane.
   *
   * @param kind - what
   * @param message - its content
   */
  publish<K extends RunKind>(kind: K, message: RunMessages[K]): void {
    this.#peer.publish({ to: this.#to, kind, payload: encodeMessage(kind, message) })
  }

  /** A durable message of the worker. */
  receive({ kind, payload }: Delivery): void {
    if (kind === 'refused') this.refused.resolve(decodeMessage(kind, payload))
    if (kind === 'steer-receipt') {
      const { steerId, status } = decodeMessage(kind, payload)
      this.receipts.get(steerId)?.resolve(status)
    }
    if (kind === 'ask-reply') {
      const reply = decodeMessage(kind, payload)
      this.replies.get(reply.askId)?.resolve(reply)
    }
    if (kind === 'events') this.#link.receive(decodeMessage(kind, payload))
    if (kind === 'terminal') this.terminals.push(decodeMessage(kind, payload))
    this.#settle()
  }

  /** A live message of the worker. */
  receiveLive({ kind, payload }: LiveMessage): void {
    if (kind === 'accepted') this.accepted.resolve(decodeMessage(kind, payload))
    if (kind === 'events') this.#link.receive(decodeMessage(kind, payload))
    if (kind === 'heartbeat') this.#link.heartbeat(decodeMessage(kind, payload))
  }

  #deliver(events: readonly WireEvent[]): void {
    this.events.push(...events)
    if (this.#reading) this.#link.ack(this.events.length)
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
    this.#settle()
  }

  #settle(): void {
    const [terminal] = this.terminals
    if (terminal === undefined) return
    if (this.events.length < terminal.lastSeq) return this.#link.attached()
    if (this.#reading) this.publish('terminal-ack', { ...this.ref, lastSeq: terminal.lastSeq })
    this.#ended.resolve(terminal)
  }

  async #send<K extends RunKind>(kind: K, id: string, message: RunMessages[K]): Promise<void> {
    await this.#peer.send({
      to: this.#to,
      id,
      kind,
      control: kinds[kind].control,
      payload: encodeMessage(kind, message),
    })
  }
}

/** What a run asks for, as far as it matters; the rest has defaults. */
export type DoubleSpec = Partial<Omit<Run, 'replyTo'>> & Pick<Run, 'executor'>

/** A runner's mailbox and its runs. */
export class RunnerDouble implements AsyncDisposable {
  readonly peer: Peer
  readonly #random: Random
  readonly #runs: Map<string, DoubleRun>

  private constructor(peer: Peer, runs: Map<string, DoubleRun>, random: Random) {
    this.peer = peer
    this.#runs = runs
    this.#random = random
  }

  /**
   * Attaches a double.
   *
   * @param bus - the bus
   * @param options - its mailbox, `runner.double` by default
   */
  static async attach(bus: Bus, { address = 'runner.double', random = systemRandom } = {}): Promise<RunnerDouble> {
    const runs = new Map<string, DoubleRun>()
    const runOf = (kind: string, payload: Uint8Array): DoubleRun | undefined => {
      if (!isRunKind(kind) || kind === 'token') return undefined
      const { runId, epoch } = decodeMessage(kind, payload)
      return runs.get(`${runId} ${epoch}`)
    }
    const peer = await bus.attach({
      address,
      incarnation: random.id(),
      lifetime: 'named',
      onMessage: (delivery) => {
        runOf(delivery.kind, delivery.payload)?.receive(delivery)
        void delivery.ack()
      },
      onLive: (message) => runOf(message.kind, message.payload)?.receiveLive(message),
    })
    return new RunnerDouble(peer, runs, random)
  }

  /**
   * Sends a run.
   *
   * @param to - the worker's mailbox
   * @param spec - what to run
   * @param options - `reading`: whether events are acknowledged as they come, true by default
   */
  async run(to: string, spec: DoubleSpec, { reading = true } = {}): Promise<DoubleRun> {
    const runId = spec.runId ?? this.#random.id()
    const epoch = spec.epoch ?? 1
    const run: Run = {
      role: 'test',
      path: [runId],
      depth: 0,
      task: '',
      workspace: '/',
      ...spec,
      runId,
      epoch,
      replyTo: this.peer.address,
    }
    const double = this.expect(to, { runId, epoch }, reading)
    await this.peer.send({ to, id: `run-${runId}-${epoch}`, kind: 'run', payload: encodeMessage('run', run) })
    return double
  }

  /**
   * Keeps what a worker says about a run that is sent by hand.
   *
   * @param to - the worker's mailbox
   * @param ref - the attempt
   * @param reading - as in {@link RunnerDouble.run}
   */
  expect(to: string, ref: RunRef, reading = true): DoubleRun {
    const double = new DoubleRun(this.peer, to, ref, reading)
    this.#runs.set(`${ref.runId} ${ref.epoch}`, double)
    return double
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.peer.drain()
  }
}
