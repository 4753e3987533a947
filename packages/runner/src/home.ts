/**
 * Where a runner lives: its database, its bus, and, when it was given none, the broker of its own on a private socket.
 * The embedded broker and the journal share one database and one commit thread.
 */
import { connectBus } from '@greenroom/bus'
import { GreenroomError, limits, type Bus, type BusAddress } from '@greenroom/proto'
import { createMemoryStore, openStore, type Schema, type Store } from '@greenroom/store'
import { isBus, type Config } from './config.ts'
import type { TokenIssuer } from './placement/index.ts'
import { openOperatorDoor } from './platform/operator-door.ts'
import { privateSocket } from './platform/private-socket.ts'
import { runnerSchema } from './runner-schema.ts'

/** A runner's bus and database. */
export interface Home extends AsyncDisposable {
  readonly bus: Bus
  /** Whose token the runner shows there; undefined of a plain one, or none. */
  readonly subject?: string | undefined
  /** Where workers find it. */
  readonly address: BusAddress
  /** Has tokens made for them; undefined: they use that of `address`. */
  readonly issue: TokenIssuer | undefined
  readonly store: Store
}

/** How often workers are asked for a sign of life at most, in milliseconds. */
const leastPingMs = 50

/**
 * Opens what a runner needs, or nothing of it.
 *
 * @param config - the runner's
 * @throws what the store and the broker throw
 */
export async function openHome(config: Config): Promise<Home> {
  await using opening = new AsyncDisposableStack()
  const { bus } = config
  if (bus === undefined) {
    const { brokerSchema, createBroker } = await import('@greenroom/broker')
    const store = opening.use(
      await open(config, { ...brokerSchema, collections: [...brokerSchema.collections, ...runnerSchema.collections] }),
    )
    const socket = await privateSocket(config.dataDir, 'bus')
    opening.defer(socket.remove)
    const [token, operatorToken] = [config.random.id(), config.random.id()]
    const { partitionGraceMs, clock, random } = config
    const broker = opening.use(
      await createBroker({
        store,
        listen: { socket: socket.path },
        token,
        operatorToken,
        partitionGraceMs,
        // Silence has to be noticed well within the grace that it is given.
        limits: { pingMs: Math.max(leastPingMs, Math.min(limits.pingMs, Math.ceil(partitionGraceMs / 3))) },
        clock,
        random,
        background: true,
      }),
    )
    if (broker.url === undefined) throw new GreenroomError('INTERNAL', 'the embedded broker does not listen')
    const { url } = broker
    if (config.dataDir !== null) opening.defer(openOperatorDoor(config.dataDir, { url, token: operatorToken }))
    return home(opening.move(), {
      bus: broker.bus,
      address: { url, token: '' },
      issue: (request) => broker.issue(request),
      store,
    })
  }
  const store = opening.use(await open(config, runnerSchema))
  if (isBus(bus))
    return home(opening.move(), { bus, address: { url: 'ws://in-process', token: '' }, issue: undefined, store })
  const connected = opening.use(
    connectBus({ ...bus, agent: 'greenroom-runner', background: true, clock: config.clock, random: config.random }),
  )
  const subject = await connected.subject()
  return home(opening.move(), {
    bus: connected,
    subject,
    address: { ...bus, token: '' },
    issue: (request) => connected.issue(request),
    store,
  })
}

function home(stack: AsyncDisposableStack, parts: Omit<Home, typeof Symbol.asyncDispose>): Home {
  return { ...parts, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

async function open({ dataDir, openStore: openOwn }: Config, schema: Schema): Promise<Store> {
  if (openOwn !== undefined) return openOwn(schema)
  return dataDir === null ? createMemoryStore({ schema }) : openStore({ dir: dataDir, schema })
}
