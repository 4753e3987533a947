/**
 * A worker without a process: what `serveWorker` does with one, over a bus in memory. Its owner sees the same as of a
 * process: standard input and error, an exit code, signals.
 *
 * - *I1* Once it is killed, nothing it does is seen any more: its connection, its timers and its programs are gone.
 * - *I2* While it is suspended nothing goes in or out and no timer of its clock fires. What its executors wait for
 *   otherwise goes on, which a stopped process's would not.
 */
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { spawnGuarded, type GuardedProcess } from '@greenroom/bus/process'
import { observeBus, type BusObserver } from '@greenroom/bus/testing'
import { codeOf, type Bus, type Clock, type Random, type Timer } from '@greenroom/proto'
import { messageOf } from '../ending.ts'
import type { Executors } from '../executor.ts'
import { leaveOrphaned } from '../orphan.ts'
import { readProvision } from '../provisioning.ts'
import { startWorker, type Worker, type WorkerEnd } from '../worker.ts'
import { ProcessClock } from './process-clock.ts'

/** What the owner of a process says of it. */
export interface InProcessSpec {
  /** The role that it is for. */
  readonly role: string
  /** Its mailbox. */
  readonly address: string
  /** What programs inherit that it starts. */
  readonly env: Readonly<Record<string, string>>
}

/** A bus, and a hand on its connections. A `MemoryBus` is one. */
export interface InProcessBus {
  /**
   * The bus as one worker has it.
   *
   * @param address - the worker's mailbox
   */
  client(address: string): Bus
  /** Loses the connection of whoever is at this address, until {@link InProcessBus.restore}. */
  cut(address: string): void
  /** Lets it come back. */
  restore(address: string): void
}

/** How a worker without a process ended, as if it had one. */
export interface InProcessExit {
  /** As of `serveWorker`; null when it was killed or refused to start. */
  readonly code: number | null
  /** `SIGKILL` when it was killed. */
  readonly signal: string | null
  /** Why it was not started. */
  readonly error?: Error
}

/** What a worker without a process lives in. */
export interface InProcessSurroundings {
  readonly bus: InProcessBus
  readonly executors: Executors
  readonly clock: Clock
  readonly random: Random
  readonly observe: (worker: InProcessWorker) => BusObserver
}

/** When the guard of a worker whose owner is gone has killed it, in milliseconds. */
const guardMs = 2_000

/** See I1 and I2. */
export class InProcessWorker {
  /** The role that it was started for. */
  readonly role: string
  /** Its mailbox. */
  readonly address: string
  /** Takes the provisioning document, then its end. */
  readonly stdin: PassThrough = new PassThrough()
  /** Its log; at last, why it ended. */
  readonly stderr: PassThrough = new PassThrough()
  /** Resolves when it is gone. */
  readonly exited: Promise<InProcessExit>
  readonly #surroundings: InProcessSurroundings
  readonly #env: InProcessSpec['env']
  readonly #client: Bus
  readonly #clock: ProcessClock
  readonly #observer: BusObserver
  readonly #exit = Promise.withResolvers<InProcessExit>()
  readonly #programs = new Set<GuardedProcess>()
  #worker: Worker | undefined
  #state: 'running' | 'suspended' | 'ended' = 'running'
  /** Until its connection is let come back. */
  #cut: Timer | undefined
  #cancelGraceMs: number | undefined
  /** Orders to end so far. */
  #orders = 0
  /** What it will hear of when it goes on. */
  readonly #unheard: (() => void)[] = []

  /**
   * @param spec - who it is
   * @param surroundings - what it lives in
   */
  constructor(spec: InProcessSpec, surroundings: InProcessSurroundings) {
    this.role = spec.role
    this.address = spec.address
    this.#env = spec.env
    this.#surroundings = surroundings
    this.#client = surroundings.bus.client(spec.address)
    this.#clock = new ProcessClock(surroundings.clock)
    this.#observer = surroundings.observe(this)
    this.exited = this.#exit.promise
    this.#live().catch((error: unknown) => this.#refuse(error, 70, 'INTERNAL'))
  }

  /** `ended` once it was killed, or left in order. */
  get state(): 'running' | 'suspended' | 'ended' {
    return this.#state
  }

  /** Ends it in order (`SIGTERM`; a second one does not wait for its runs), or at once with its programs (`SIGKILL`). */
  kill(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): void {
    if (this.#state === 'ended') return
    if (signal === 'SIGKILL') this.#end({ code: null, signal })
    else this.#hear(() => this.#order())
  }

  /** Ends its lifeline: it leaves as whoever lost his owner. Its guard kills what does not, also when it is suspended. */
  orphan(): void {
    if (this.#state === 'ended') return
    this.stdin.end()
    const guard = this.#surroundings.clock.timer(guardMs, () => this.kill())
    void this.exited.then(() => guard.cancel())
    this.#hear(() => {
      if (this.#worker === undefined) this.#end({ code: 0, signal: null })
      else void leaveOrphaned(this.#worker, this.#cancelGraceMs)
    })
  }

  /** Stops it, as `SIGSTOP` does (I2). */
  suspend(): void {
    if (this.#state !== 'running') return
    this.#state = 'suspended'
    this.#clock.stop()
    this.#surroundings.bus.cut(this.address)
  }

  /** Lets it go on. */
  resume(): void {
    if (this.#state !== 'suspended') return
    this.#state = 'running'
    this.#reconnect()
    this.#clock.continue()
    for (const hear of this.#unheard.splice(0)) hear()
  }

  /**
   * Loses its connection to the bus; it comes back by itself.
   *
   * @param forMs - after so many milliseconds
   */
  cut(forMs: number): void {
    if (this.#state === 'ended') return
    this.#cut?.cancel()
    this.#cut = this.#surroundings.clock.timer(forMs, () => {
      this.#cut = undefined
      this.#reconnect()
    })
    this.#surroundings.bus.cut(this.address)
  }

  async #live(): Promise<void> {
    const { executors } = this.#surroundings
    const document = await text(this.stdin)
    this.#step('started')
    if (this.#state === 'ended') return
    const provision = await this.#readOrRefuse(document)
    if (provision === undefined) return
    this.#cancelGraceMs = provision.cancelGraceMs
    this.#worker = await startWorker({
      bus: this.#observed(),
      executors,
      provision,
      clock: this.#clock,
      random: this.#surroundings.random,
      platform: {
        env: this.#env,
        log: (line) => void (this.#state === 'ended' || this.stderr.write(`${line}\n`)),
        spawn: (options) => this.#track(spawnGuarded(options)),
      },
    })
    this.#step('ready')
    this.#leave(await this.#worker.closed)
  }

  async #readOrRefuse(document: string): Promise<ReturnType<typeof readProvision> | undefined> {
    try {
      return readProvision(document, this.#surroundings.executors)
    } catch (error) {
      this.#refuse(error, 78, 'SPEC_INVALID')
      return undefined
    }
  }

  #observed(): Bus {
    const { publish, onAttached } = this.#observer
    return observeBus(this.#client, {
      onStep: (name) => this.#step(name),
      onAttached: (peer) => {
        // It had no connection yet that could be lost.
        if (this.#cut !== undefined || this.#state === 'suspended') this.#surroundings.bus.cut(this.address)
        onAttached?.(peer)
      },
      ...(publish === undefined
        ? {}
        : { publish: (message, pass) => (this.#state === 'ended' ? false : publish(message, pass)) }),
    })
  }

  #step(name: string): void {
    if (this.#state !== 'ended') this.#observer.onStep?.(name)
  }

  #hear(order: () => void): void {
    if (this.#state === 'suspended') this.#unheard.push(order)
    else order()
  }

  #order(): void {
    this.#orders += 1
    if (this.#worker === undefined) this.#end({ code: 0, signal: null })
    else if (this.#orders === 1) void this.#worker.drain()
    else void this.#worker.close({ reason: 'the worker was told to end' })
  }

  #track(program: GuardedProcess): GuardedProcess {
    this.#programs.add(program)
    void program.exited.then(() => this.#programs.delete(program))
    return program
  }

  #reconnect(): void {
    if (this.#state === 'running' && this.#cut === undefined) this.#surroundings.bus.restore(this.address)
  }

  /** As `serveWorker` leaves its process. */
  #leave({ why, message }: WorkerEnd): void {
    if (why === 'fenced') this.#end({ code: 3, signal: null }, { code: 'FENCED', message })
    else if (why === 'lost') this.#end({ code: 70, signal: null }, { code: 'CONNECT_FAILED', message })
    else this.#end({ code: 0, signal: null })
  }

  #refuse(error: unknown, exitCode: number, otherwise: string): void {
    const code = codeOf(error) ?? otherwise
    const isFenced = code === 'FENCED' || code === 'REPLACED'
    this.#end({ code: isFenced ? 3 : exitCode, signal: null }, { code, message: messageOf(error) })
  }

  #end(exit: InProcessExit, error?: { readonly code: string; readonly message: string }): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#cut?.cancel()
    this.#surroundings.bus.cut(this.address)
    void this.#client.close()
    this.#clock.end()
    for (const program of this.#programs) program.kill('SIGKILL')
    this.stderr.end(error === undefined ? '' : `greenroom-error ${JSON.stringify(error)}\n`)
    this.#exit.resolve(exit)
  }
}
