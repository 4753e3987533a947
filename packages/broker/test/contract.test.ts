/** The bus contract, in the broker's process and over real sockets, with restarts on the same data. */
import { connectBus, connectOperator } from '@greenroom/bus'
import {
  applicable,
  createManualClock,
  type BusControl,
  type BusHarness,
  type ManualClock,
} from '@greenroom/bus/testing'
import type { Bus, BusCapability, Operator } from '@greenroom/proto'
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { createBroker, type Broker, type BrokerOptions, type Listen } from '../src/index.ts'
import { temporaryFolder } from './temporary-folder.ts'

const token = 'a-token-of-enough-length'
const operatorToken = 'an-operators-token'
/** A clock that is moved leaves no time to answer pings. */
const patient = { pingMs: 1_000_000_000 }
const capabilities: readonly BusCapability[] = ['durable', 'ttl', 'quotas', 'dead-letters', 'visibility']

/** Moves the clock in steps, and lets what became due reach the disk and the peers. */
async function advance(clock: ManualClock, ms: number): Promise<void> {
  const steps = 10
  for (let step = 0; step < steps; step += 1) {
    clock.jump(ms / steps)
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('in the process of the broker the bus keeps the contract', () => {
  for (const [kind, dir] of [
    ['in memory', null],
    ['on disk', 'data'],
  ] as const)
    describe(kind, () => {
      const able = dir === null ? capabilities.filter((name) => name !== 'durable') : capabilities
      const controls = ['advance', 'operator', 'settings'] as const
      for (const { name, controls: needed, settings, run } of applicable({ capabilities: able, controls }))
        test(name, async () => {
          using folder = temporaryFolder()
          const clock = createManualClock()
          const ownsTime = needed?.includes('advance') === true
          await using broker = await createBroker({
            ...settings,
            dir: dir && join(folder.path, dir),
            ...(ownsTime ? { clock } : {}),
          })
          const harness: BusHarness = { bus: async () => broker.bus, operator: async () => broker.operator }
          await run(ownsTime ? { ...harness, advance: (ms) => advance(clock, ms) } : harness)
        })
    })
})

/** Real clients of a real broker; each goes through a relay that can be cut. */
class SocketHarness implements BusHarness, AsyncDisposable {
  readonly #options: BrokerOptions
  readonly #open: { close(): Promise<void> }[] = []
  readonly #relays = new Map<string, Relay>()
  readonly #clock: ManualClock | undefined
  #broker: Broker

  constructor(options: BrokerOptions, broker: Broker, clock: ManualClock | undefined) {
    this.#options = options
    this.#broker = broker
    this.#clock = clock
  }

  static async start(options: BrokerOptions, clock: ManualClock | undefined): Promise<SocketHarness> {
    return new SocketHarness(options, await createBroker(options), clock)
  }

  async bus(): Promise<Bus> {
    const relay = await Relay.start(() => this.#broker.url ?? '')
    const bus = connectBus({ url: relay.url, token, backoff: { minMs: 5, maxMs: 50 } })
    const attach = bus.attach.bind(bus)
    bus.attach = (options) => {
      this.#relays.set(options.address, relay)
      return attach(options)
    }
    this.#open.push(bus, relay)
    return bus
  }

  async operator(): Promise<Operator> {
    const operator = await connectOperator({ url: this.#broker.url ?? '', token: operatorToken })
    this.#open.push(operator)
    return operator
  }

  async cut(address: string): Promise<void> {
    await this.#relays.get(address)?.cut()
  }

  async restart(): Promise<void> {
    await this.#broker.close()
    const { url } = this.#broker
    const listen = url?.startsWith('ws:') === true ? { port: Number(new URL(url).port) } : this.#options.listen
    this.#broker = await createBroker({ ...this.#options, ...(listen && { listen }) })
  }

  async advance(ms: number): Promise<void> {
    if (this.#clock !== undefined) await advance(this.#clock, ms)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#open) await one.close()
    await this.#broker.close()
  }
}

/** A relay of bytes whose connections can be cut. */
class Relay {
  readonly url: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(server: Server) {
    this.#server = server
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  static async start(target: () => string): Promise<Relay> {
    const server = createServer((client) => {
      const url = target()
      const upstream = url.startsWith('ws+unix://')
        ? connect(url.slice('ws+unix://'.length))
        : connect(Number(new URL(url).port), '127.0.0.1')
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        relay.#sockets.add(from)
        from.on('error', () => {})
        from.on('close', () => {
          relay.#sockets.delete(from)
          to.destroy()
        })
        from.pipe(to)
      }
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const relay = new Relay(server)
    return relay
  }

  async cut(): Promise<void> {
    const gone = [...this.#sockets].map((socket) => once(socket.destroy(), 'close'))
    await Promise.all(gone)
  }

  async close(): Promise<void> {
    await this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

const controls: readonly BusControl[] = ['cut', 'restart', 'advance', 'operator', 'settings']
const kinds: readonly (readonly [string, (folder: string) => Listen])[] = [
  ['a unix socket', (folder) => ({ socket: join(folder, 'broker.sock') })],
  ['tcp', () => ({ port: 0 })],
]

describe.for(kinds)('over %s the bus keeps the contract', ([, listen]) => {
  for (const { name, controls: needed, settings, run } of applicable({ capabilities, controls }))
    test(name, async () => {
      using folder = temporaryFolder()
      const clock = needed?.includes('advance') === true ? createManualClock() : undefined
      const options = {
        ...settings,
        dir: join(folder.path, 'data'),
        listen: listen(folder.path),
        token,
        operatorToken,
        ...(clock && { clock, limits: { ...settings?.limits, ...patient } }),
      }
      await using harness = await SocketHarness.start(options, clock)
      await run(harness)
    })
})
