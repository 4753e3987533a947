/**
 * The network: connections between the clients of a bus and the broker, in this process, under the manual clock.
 *
 * A connection is two pipes. It may be slow, and it may be cut: then a part of what was on its way still arrives, each
 * side learns of it in its own time, and what was asked is perhaps done though nobody was told. While an address is cut
 * off, its attempts to connect fail, or are never answered.
 */
import type { Socket, SocketEvents, SocketFactory } from '@greenroom/bus'
import type { ManualClock } from '@greenroom/bus/testing'
import type { Transport, Wire, WiredBroker } from '@greenroom/broker/testing'
import type { Chance } from './chance.ts'
import { Pipe, type Item } from './pipe.ts'

/** What a network is made of. */
export interface NetworkOptions {
  readonly clock: ManualClock
  readonly chance: Chance
  /** Called at each write, in either direction. */
  readonly pass: (site: string) => void
}

/** See the file. */
export class Network {
  readonly #options: NetworkOptions
  readonly #lines = new Set<Line>()
  readonly #cut = new Set<string>()
  readonly #slowUntil = new Map<string, number>()
  #broker: WiredBroker | undefined

  constructor(options: NetworkOptions) {
    this.#options = options
  }

  /** Connects as whoever lives at this address. */
  socketOf(address: string): SocketFactory {
    return ({ token }, events) => {
      const line = new Line(this, this.#options, { address, token }, events, () => this.#lines.delete(line))
      this.#lines.add(line)
      return line
    }
  }

  /** Who answers; undefined while the broker is down. */
  get broker(): WiredBroker | undefined {
    return this.#broker
  }

  /** A broker is there. */
  up(broker: WiredBroker): void {
    this.#broker = broker
  }

  /** The broker was killed: it hears nothing more, its clients find out. */
  down(): void {
    this.#broker = undefined
    for (const line of this.#lines) line.orphan()
  }

  /** Loses the connections of an address, and lets none come up until {@link restore}. */
  cut(address: string): void {
    this.#cut.add(address)
    this.blip(address)
  }

  /** Lets an address connect again. */
  restore(address: string): void {
    this.#cut.delete(address)
  }

  /** Loses the connections of an address; new ones may come up at once. */
  blip(address: string): void {
    for (const line of this.#lines) if (line.address === address) line.cut()
  }

  /** Whoever lived there was killed: what it wrote last may still arrive. */
  die(address: string): void {
    for (const line of this.#lines) if (line.address === address) line.die()
  }

  /** What this address writes and is written takes longer for a while. */
  slow(address: string, forMs: number): void {
    this.#slowUntil.set(address, this.#options.clock.monotonic() + forMs)
  }

  /** Everybody may connect, at full speed. */
  calm(): void {
    this.#cut.clear()
    this.#slowUntil.clear()
  }

  isCut(address: string): boolean {
    return this.#cut.has(address)
  }

  latencyMs(address: string): number {
    const { chance, clock } = this.#options
    if ((this.#slowUntil.get(address) ?? 0) > clock.monotonic()) return chance.below(2_000)
    return chance.happens(0.9) ? 0 : chance.between(1, 20)
  }
}

/** One connection, as its client has it. */
class Line implements Socket {
  readonly address: string
  readonly #token: string
  readonly #network: Network
  readonly #options: NetworkOptions
  readonly #up: Pipe
  readonly #down: Pipe
  readonly #forget: () => void
  #events: SocketEvents | undefined
  #wire: Wire | undefined

  constructor(
    network: Network,
    options: NetworkOptions,
    { address, token }: { readonly address: string; readonly token: string },
    events: SocketEvents,
    forget: () => void,
  ) {
    this.address = address
    this.#token = token
    this.#network = network
    this.#options = options
    this.#events = events
    this.#forget = forget
    this.#up = new Pipe(options.clock, (item) => this.#atBroker(item))
    this.#down = new Pipe(options.clock, (item) => this.#atClient(item))
    options.clock.defer(() => this.#open())
  }

  // ─── the client's end ──────────────────────────────────────────────────────────────────────────────────────────

  write(frames: readonly Uint8Array[]): void {
    if (this.#events === undefined) return
    this.#send(this.#up, { t: 'frames', frames: [...frames] }, 'up')
  }

  buffered(): number {
    return this.#up.bytes
  }

  close(code = 1000, reason = ''): void {
    this.#up.push({ t: 'end', code, reason }, this.#network.latencyMs(this.address))
    this.#options.clock.defer(() => this.#clientClosed(code, reason))
  }

  destroy(): void {
    this.close(1006, 'destroyed')
  }

  // ─── what happens to it ────────────────────────────────────────────────────────────────────────────────────────

  cut(): void {
    const { chance } = this.#options
    for (const pipe of [this.#up, this.#down])
      pipe.break(chance.below(pipe.length + 1), chance.happens(0.8) ? 0 : chance.below(15_000))
    if (this.#wire === undefined) this.#down.push({ t: 'end', code: 1006, reason: 'cut' }, 0)
  }

  /** The broker is no more. */
  orphan(): void {
    this.#wire = undefined
    this.#up.destroy()
    this.#down.break(this.#options.chance.below(this.#down.length + 1), 0)
  }

  /** Its client is no more: what that wrote last may still arrive. */
  die(): void {
    const { chance } = this.#options
    this.#events = undefined
    this.#down.destroy()
    this.#up.break(chance.below(this.#up.length + 1), chance.happens(0.8) ? 0 : chance.below(15_000))
    if (this.#wire === undefined) this.#forget()
  }

  #open(): void {
    const { broker } = this.#network
    if (this.#events === undefined) return
    if (this.#network.isCut(this.address) && this.#options.chance.happens(0.3)) return
    if (broker === undefined || this.#network.isCut(this.address)) {
      this.#clientClosed(1006, 'nobody answers')
      return
    }
    this.#wire = broker.accept(this.#transport(), this.#token)
    this.#events.opened()
  }

  #atBroker(item: Item): void {
    if (this.#wire === undefined) return
    if (item.t === 'frames') for (const frame of item.frames) this.#wire?.receive(frame)
    else if (item.t === 'pong') this.#wire.pong()
    else if (item.t === 'end') this.#brokerClosed()
    if (this.#up.length === 0) this.#events?.drained()
  }

  #atClient(item: Item): void {
    if (item.t === 'frames') for (const frame of item.frames) this.#events?.frame(frame)
    else if (item.t === 'ping') {
      this.#events?.ping()
      this.#up.push({ t: 'pong' }, this.#network.latencyMs(this.address))
    } else if (item.t === 'end') this.#clientClosed(item.code, item.reason)
    if (this.#down.length === 0) this.#wire?.drained()
  }

  #clientClosed(code: number, reason: string): void {
    const events = this.#events
    this.#events = undefined
    if (this.#wire === undefined) this.#forget()
    events?.closed(code, reason)
  }

  #brokerClosed(): void {
    const wire = this.#wire
    this.#wire = undefined
    if (this.#events === undefined) this.#forget()
    wire?.closed()
  }

  #send(pipe: Pipe, item: Item, way: 'up' | 'down'): void {
    pipe.push(item, this.#network.latencyMs(this.address))
    this.#options.pass(`${way} ${this.address}`)
  }

  // ─── the broker's end ──────────────────────────────────────────────────────────────────────────────────────────

  #transport(): Transport {
    const { clock } = this.#options
    const end = (code: number, reason: string): void => {
      this.#down.push({ t: 'end', code, reason }, this.#network.latencyMs(this.address))
      clock.defer(() => this.#brokerClosed())
    }
    return {
      write: (frames) => this.#send(this.#down, { t: 'frames', frames: [...frames] }, 'down'),
      buffered: () => this.#down.bytes,
      defer: (flush) => process.nextTick(flush),
      pause: () => this.#up.pause(),
      resume: () => this.#up.resume(),
      ping: () => this.#down.push({ t: 'ping' }, this.#network.latencyMs(this.address)),
      close: end,
      destroy: () => end(1006, 'destroyed'),
    }
  }
}
