/**
 * A schedule: a broker's core over the store's twin, its clients, and all that can go wrong, drawn from one seed.
 *
 * The clients outlive the broker, as on other machines: after a power cut they attach again with what they hold, and say
 * again what was not answered. Everything moves in steps; between two steps all that is ready runs.
 */
import { createManualClock } from '@greenroom/bus/testing'
import { codeOf } from '@greenroom/proto'
import { createMemoryStore, type CommitFault, type MemoryStore, type Store } from '@greenroom/store'
import type { Consumer, Delivered } from '../../src/consumer.ts'
import { Core, type Attachment } from '../../src/core.ts'
import { resolveOptions } from '../../src/options.ts'
import { brokerSchema } from '../../src/records.ts'
import { Checker } from './checker.ts'
import { Seeded } from './seeded.ts'

const graceMs = 10_000
const steps = 160
const sender = { address: 'runner', incarnation: 'runner-1' }

/** Makes the store of a core out of the twin: for mutations. */
export type Tamper = (store: MemoryStore) => Store

/** A mailbox's consumer, over many connections. */
interface Station {
  readonly address: string
  readonly incarnation: string
  readonly lifetime: 'named' | 'incarnation'
  readonly held: Map<string, Delivered>
  attachment: Attachment | undefined
  /** The connection that it made last. */
  connection: object | undefined
  wasAttached: boolean
  isOver: boolean
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (payload: Uint8Array): string => new TextDecoder().decode(payload)

/** Who was fenced before it ever came was to be its mailbox's one incarnation: not so in a named one. */
function mayEnd({ lifetime, wasAttached }: Station): boolean {
  return lifetime === 'incarnation' || wasAttached
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

/** See the head of this file. */
export class World {
  readonly checker = new Checker()
  readonly #chance: Seeded
  readonly #clock = createManualClock()
  readonly #tamper: Tamper
  readonly #ids: string[] = []
  readonly #kinds = new Map<string, string>()
  #stations: Station[] = []
  #deferred: (() => void)[] = []
  #disk: MemoryStore
  #core: Core | undefined
  #isCalm = false
  #isFull = false
  #count = 0

  private constructor(seed: number, tamper: Tamper) {
    this.#chance = new Seeded(seed)
    this.#tamper = tamper
    this.#disk = createMemoryStore({
      schema: brokerSchema,
      defer: (task) => this.#deferred.push(task),
      faults: () => this.#fault(),
      freeBytes: () => (this.#isFull ? 0 : Number.POSITIVE_INFINITY),
      random: this.#chance.fraction,
    })
  }

  /** Runs a whole schedule. Returns what went against the rules. */
  static async run(seed: number, tamper: Tamper = (store) => store): Promise<readonly string[]> {
    const world = new World(seed, tamper)
    await world.#start()
    const runner = world.#station('runner', 'named')
    world.#stations.push(runner, world.#station('inbox', 'named'), world.#station('worker.0', 'incarnation'))
    await world.#calmly(() => world.#attach(runner))
    for (let step = 0; step < steps; step += 1) {
      await world.#step()
      await settle()
    }
    await world.#finish()
    return world.checker.violations
  }

  /** Opens a core on the disk; its first commits, which clean up, are let through. */
  async #start(): Promise<void> {
    const { limits, maxAttempts, mailboxTtlMs } = resolveOptions({ maxAttempts: 1_000, limits: { cacheBytes: 40 } })
    this.#core = undefined
    const opening = Core.open({
      store: this.#tamper(this.#disk),
      clock: this.#clock,
      logger: () => {},
      limits,
      partitionGraceMs: graceMs,
      dedupeWindowMs: 86_400_000,
      maxAttempts,
      mailboxTtlMs,
      backUp: () => Promise.reject(new Error('there are no backups here')),
    })
    await this.#calmly(() => void opening.then((core) => (this.#core = core)))
  }

  /** Does something, and lets everything come to rest with nothing that goes wrong. */
  async #calmly(work: () => void): Promise<void> {
    const wasCalm = this.#isCalm
    this.#isCalm = true
    work()
    for (let turn = 0; turn < 12; turn += 1) {
      this.#runDeferred()
      await settle()
    }
    this.#isCalm = wasCalm
  }

  get #broker(): Core {
    if (this.#core === undefined) throw new Error('the broker is not there')
    return this.#core
  }

  #fault(): CommitFault | undefined {
    if (this.#isCalm || !this.#chance.happens(0.2)) return undefined
    const outcome = this.#chance.one(['fails', 'lies', 'limbo', 'full', 'stored'] as const) ?? 'stored'
    return { outcome, turns: this.#chance.below(3) }
  }

  #station(address: string, lifetime: 'named' | 'incarnation'): Station {
    this.#count += 1
    return {
      address,
      incarnation: `i${this.#count}`,
      lifetime,
      held: new Map(),
      attachment: undefined,
      connection: undefined,
      wasAttached: false,
      isOver: false,
    }
  }

  async #step(): Promise<void> {
    const roll = this.#chance.below(200)
    if (roll < 70) this.#runDeferred()
    else if (roll < 110) this.#send()
    else if (roll < 144) this.#consume()
    else if (roll < 156) this.#revoke()
    else if (roll < 178) this.#connect()
    else if (roll < 184) this.#disconnect()
    else if (roll < 188) this.#newcomer()
    else if (roll < 191) this.#clock.jump(this.#chance.below(graceMs))
    else if (roll < 194) this.#isFull = this.#chance.happens(0.3)
    else if (roll < 196) this.#end()
    else await this.#powerCut()
  }

  #runDeferred(): void {
    const tasks = this.#deferred
    this.#deferred = []
    for (const task of tasks) task()
  }

  #send(): void {
    const old = this.#chance.happens(0.35) ? this.#chance.one(this.#ids) : undefined
    const id = old ?? `m${this.#ids.length}`
    const to = old === undefined ? (this.#chance.one(this.#stations)?.address ?? 'inbox') : this.checker.to(old)
    const kind = this.#kinds.get(id) ?? (this.#chance.happens(0.4) ? 'run' : 'note')
    if (old === undefined) this.#ids.push(id)
    this.#kinds.set(id, kind)
    const content = this.#chance.happens(0.1) ? `${id} otherwise` : id
    const control = this.#ids.indexOf(id) % 3 === 0
    for (let copy = this.#chance.happens(0.1) ? 2 : 1; copy > 0; copy -= 1) {
      this.checker.sending(to, id, kind)
      this.#broker.send(sender, { to, id, kind, control, payload: bytes(content) }).then(
        ({ seq, duplicate }) => this.checker.receipted(id, seq, duplicate, content),
        (error: unknown) => this.#refused(id, error),
      )
    }
  }

  #refused(id: string, error: unknown): void {
    const code = codeOf(error)
    if (code === 'INTERNAL') this.checker.violate(String(error))
    if (code !== 'COMMIT_UNKNOWN' && code !== 'CLOSED') this.checker.refused(id)
  }

  #consume(): void {
    const station = this.#chance.one(
      this.#stations.filter(({ attachment, held }) => attachment !== undefined && held.size > 0),
    )
    const message = station && this.#chance.one([...station.held.values()])
    const attachment = station?.attachment
    if (station === undefined || message === undefined || attachment === undefined) return
    const { id, kind } = message
    const forget = (): void => void (station.held.get(id) === message && station.held.delete(id))
    const failed = (error: unknown): void => {
      if (codeOf(error) === 'INTERNAL') this.checker.violate(String(error))
      if (codeOf(error) === 'NOT_HOLDER' || codeOf(error) === 'REVOKED') forget()
    }
    if (kind !== 'undeliverable' && this.#chance.happens(0.15)) {
      attachment.nack(id, this.#chance.happens(0.3) ? 2_000 : 0).then(forget, failed)
      return
    }
    if (kind !== 'undeliverable') this.checker.trying(id)
    if (kind === 'run')
      attachment.claim(id).then(() => {
        this.checker.claimed(id, station.incarnation)
        forget()
      }, failed)
    else
      attachment.ack([id]).then(() => {
        if (kind !== 'undeliverable') this.checker.acked(id)
        forget()
      }, failed)
  }

  #revoke(): void {
    const id = this.#chance.one(this.#ids)
    if (id === undefined) return
    this.checker.revoking(id)
    this.#broker.revoke(this.checker.to(id), id).then(
      (answer) => this.checker.revoked(id, answer),
      () => {},
    )
  }

  /** Attaches whoever is not, and sometimes whoever is, over a new connection. */
  #connect(): void {
    const away = this.#stations.filter(({ attachment, isOver }) => attachment === undefined && !isOver)
    const station = this.#chance.one(away.length > 0 ? away : this.#stations.filter(({ isOver }) => !isOver))
    if (station !== undefined) this.#attach(station, 3)
  }

  #attach(station: Station, credit = 3): void {
    const { address, incarnation, lifetime, held, wasAttached: again } = station
    let isOpen = false
    const connection: Consumer = {
      ready: () => isOpen,
      deliver: (message) => this.#deliver(station, message),
      live: () => false,
      end: (code) => {
        isOpen = false
        if (code === 'FENCED' || station.connection === connection) station.isOver = true
        if (station.connection === connection) station.attachment = undefined
      },
    }
    station.connection = connection
    const request = { address, incarnation, lifetime, credit, controlCredit: credit, held: [...held.keys()], again }
    this.#broker.attach(connection, request).then(
      (attachment) => {
        if (station.connection !== connection) return attachment.lost()
        isOpen = true
        station.wasAttached = true
        station.attachment = attachment
        attachment.wake()
      },
      (error: unknown) => {
        const code = codeOf(error)
        if (code === 'INTERNAL') this.checker.violate(String(error))
        if (code === 'FENCED' || code === 'REPLACED') station.isOver = true
      },
    )
  }

  #deliver(station: Station, message: Delivered): void {
    const { id, kind, seq, control, payload } = message
    const known = station.held.get(id)
    if (kind === 'undeliverable') this.checker.returned(/"id":"([^"]+)"/.exec(text(payload))?.[1] ?? '')
    // What is held already came again only because its holder could not say so.
    else this.checker.delivered(id, seq, control ? 'control' : 'data', text(payload), known !== undefined)
    station.held.set(id, message)
  }

  #disconnect(): void {
    const station = this.#chance.one(this.#stations.filter(({ attachment }) => attachment !== undefined))
    station?.attachment?.lost()
    if (station === undefined) return
    station.attachment = undefined
    station.connection = undefined
    // Something was lost on the way.
    const lost = this.#chance.happens(0.5) ? this.#chance.one([...station.held.keys()]) : undefined
    if (lost !== undefined) station.held.delete(lost)
  }

  /** Somebody new: another worker, or another incarnation that takes a named mailbox over. */
  #newcomer(): void {
    this.#count += 1
    const [address, lifetime] = this.#chance.happens(0.5)
      ? [`worker.${this.#count}`, 'incarnation' as const]
      : ['inbox', 'named' as const]
    const station = this.#station(address, lifetime)
    this.#stations.push(station)
    this.#attach(station)
  }

  /** Somebody leaves, or is declared gone by others: a worker perhaps before it ever came. */
  #end(): void {
    const station = this.#chance.one(this.#stations.filter(({ address }) => address !== 'runner').filter(mayEnd))
    if (station === undefined) return
    const { attachment, address, incarnation } = station
    const ending =
      attachment !== undefined && this.#chance.happens(0.5)
        ? attachment.leave()
        : this.#broker.fence({ address, incarnation })
    ending.catch(() => {})
  }

  async #powerCut(): Promise<void> {
    this.#disk = this.#disk.powerCut()
    this.#deferred = []
    this.#core?.stop()
    for (const station of this.#stations) {
      station.attachment = undefined
      station.connection = undefined
    }
    await this.#start()
  }

  async #finish(): Promise<void> {
    this.#isCalm = true
    this.#isFull = false
    await this.#calmly(() => {})
    if (this.#chance.happens(0.5)) await this.#powerCut()
    for (const { address, incarnation } of this.#stations.filter(mayEnd)) {
      const failed = (error: unknown): void => this.checker.violate(`fence: ${String(error)}`)
      await this.#calmly(() => void this.#broker.fence({ address, incarnation }).catch(failed))
    }
    this.checker.end()
    await this.#calmly(() => {
      for (const address of ['runner', 'inbox']) this.#attach(this.#station(address, 'named'), 10_000)
      this.#clock.jump(graceMs * 2)
    })
    for (const id of this.checker.finish((address) => address.startsWith('worker'))) {
      await this.#calmly(() => {
        void this.#broker.revoke(this.checker.to(id), id).then((answer) => {
          if (answer !== 'withdrawn') this.checker.violate(`${id} in a closed mailbox is ${answer}`)
        })
      })
    }
    const { cached, bytes: waiting } = this.#broker.registry.volume
    if (cached > waiting || waiting < 0) this.checker.violate(`${cached} bytes are cached of ${waiting}`)
  }
}
