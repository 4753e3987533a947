/** Events through a broker in a process of its own, link and acknowledgements included. */
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createBroker } from '@greenroom/broker'
import { connectBus, createLinkReceiver, createLinkSender } from '@greenroom/bus'
import { decodeMessage, systemClock, type LiveMessage } from '@greenroom/proto'
import { firstWords } from './bare.ts'
import { alternate, compare, type Comparison, type Measure } from './figure.ts'
import { rawRelay } from './relay.ts'
import { scratch } from './scratch.ts'

const bytes = 200
const total = 50_000

/** One stream from a worker's link to a runner's, both in this process, the broker in another. */
async function stream(url: string, token: string): Promise<AsyncDisposable & { readonly measure: Measure }> {
  const bus = connectBus({ url, token })
  let onLive: (message: LiveMessage) => void = () => undefined
  let onAck: (message: LiveMessage) => void = () => undefined
  const incarnation = (): string => randomBytes(8).toString('hex')
  const runner = await bus.attach({
    address: 'runner.bench',
    incarnation: incarnation(),
    lifetime: 'named',
    onLive: (message) => onLive(message),
  })
  const worker = await bus.attach({
    address: 'worker.bench',
    incarnation: incarnation(),
    lifetime: 'incarnation',
    onLive: (message) => onAck(message),
  })
  let epoch = 0
  const measure = async (): Promise<number> => {
    epoch += 1
    const ref = { runId: 'bench', epoch }
    const { promise, resolve } = Promise.withResolvers<void>()
    const sender = createLinkSender({ peer: worker, to: runner.address, ref, clock: systemClock })
    const receiver = createLinkReceiver({
      peer: runner,
      to: worker.address,
      ref,
      clock: systemClock,
      deliver: (first, batch) => {
        const last = first + batch.length - 1
        receiver.ack(last)
        if (last === total) resolve()
      },
    })
    onLive = (message) => {
      if (message.kind === 'events') receiver.receive(decodeMessage('events', message.payload))
      if (message.kind === 'heartbeat') receiver.heartbeat(decodeMessage('heartbeat', message.payload))
    }
    onAck = (message) => {
      if (message.kind === 'ack') sender.ack(decodeMessage('ack', message.payload).upTo)
      if (message.kind === 'resume') sender.resume(decodeMessage('resume', message.payload).ack)
    }
    const text = 'x'.repeat(bytes - 32)
    const start = performance.now()
    for (let n = 0; n < total; n += 1) await sender.emit({ type: 'text-delta', text })
    await promise
    const rate = (total / (performance.now() - start)) * 1000
    sender.close()
    receiver.close()
    return rate
  }
  return { measure, [Symbol.asyncDispose]: () => bus.close() }
}

async function startBroker(folder: string, token: string): Promise<AsyncDisposable & { readonly url: string }> {
  const child = fork(new URL(import.meta.url), ['broker', folder, token])
  return {
    url: String(await firstWords(child)),
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit')
      child.kill()
      await exited
    },
  }
}

/** Events a second beside the plain relay. */
export async function events(rounds: number): Promise<Comparison[]> {
  await using folder = await scratch()
  const token = randomBytes(24).toString('hex')
  await using broker = await startBroker(folder.path, token)
  await using ours = await stream(broker.url, token)
  await using limit = await rawRelay(bytes, total)
  const line = await alternate(rounds, ours.measure, limit.measure)
  return [
    compare({ bench: 'events', what: 'one stream of 200 B', unit: 'events/s', limitIs: 'a plain ws relay' }, line),
  ]
}

if (process.argv[2] === 'broker') {
  const [, , , folder, token] = process.argv
  if (folder === undefined || token === undefined)
    throw new Error('the broker of the benchmark needs a folder and a token')
  const broker = await createBroker({ dir: folder, listen: { port: 0 }, token })
  process.send?.(broker.url)
}
