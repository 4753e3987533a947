/** Durable sends of 1 KiB: the call returns when the message is on disk. */
import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { createBroker } from '@greenroom/broker'
import { connectBus } from '@greenroom/bus'
import type { Bus, Peer } from '@greenroom/proto'
import { alternate, compare, type Comparison, type Measure } from './figure.ts'
import { scratch } from './scratch.ts'

const size = 1024

function attach(bus: Bus, address: string): Promise<Peer> {
  return bus.attach({
    address,
    incarnation: randomBytes(8).toString('hex'),
    lifetime: 'named',
    credit: 4096,
    onMessage: (delivery) => void delivery.ack(),
  })
}

/** Sends for a while with so many in flight; the sample is messages a second. */
function sending(peer: Peer, inFlight: number, total: number): Measure {
  const payload = new Uint8Array(size)
  return async () => {
    let left = total
    const start = performance.now()
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1
        await peer.send({ to: 'bench.sink', id: randomBytes(12).toString('hex'), kind: 'bench', payload })
      }
    }
    await Promise.all(Array.from({ length: inFlight }, lane))
    return (total / (performance.now() - start)) * 1000
  }
}

/** Durable sends at 1, 64 and 1,024 in flight, in-process and over a socket, beside raw fdatasync. */
export async function send(rounds: number): Promise<Comparison[]> {
  await using folder = await scratch()
  const token = randomBytes(24).toString('hex')
  const socket = join(folder.path, 'broker.sock')
  await using broker = await createBroker({ dir: join(folder.path, 'data'), listen: { socket }, token })
  await using remote = connectBus({ url: broker.url ?? '', token })
  await using sink = await attach(broker.bus, 'bench.sink')
  await using inside = await attach(broker.bus, 'bench.inside')
  await using outside = await attach(remote, 'bench.outside')
  const file = await open(join(folder.path, 'raw'), 'w')
  const block = Buffer.alloc(size)
  const raw: Measure = async () => {
    const total = 500
    const start = performance.now()
    for (let n = 0; n < total; n += 1) {
      await file.write(block)
      await file.datasync()
    }
    return (total / (performance.now() - start)) * 1000
  }
  const lines: Comparison[] = []
  for (const [where, peer] of [
    ['in-process', inside],
    ['over a socket', outside],
  ] as const) {
    for (const inFlight of [1, 64, 1024]) {
      const total = inFlight === 1 ? 1000 : 20_000
      const names = {
        bench: 'send',
        what: `${where}, ${inFlight} in flight`,
        unit: 'messages/s',
        limitIs: 'write + fdatasync, one by one',
      }
      lines.push(compare(names, await alternate(rounds, sending(peer, inFlight, total), raw)))
    }
  }
  await file.close()
  await sink.drain()
  return lines
}
