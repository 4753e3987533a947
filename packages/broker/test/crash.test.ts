/** `kill -9` of a broker under load, and its restart on the same data: clients notice nothing but a pause. */
import { connectBus } from '@greenroom/bus'
import type { Delivery } from '@greenroom/proto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from './temporary-folder.ts'

const token = 'a-token-of-enough-length'
const program = fileURLToPath(new URL('./broker-program.ts', import.meta.url))
const kills = 5

async function start(dir: string, socket: string): Promise<AsyncDisposable & { kill(): Promise<void> }> {
  const child = spawn(process.execPath, ['--conditions=@greenroom/source', program, dir, socket, token], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  await Promise.race([once(child.stdout, 'data'), exited])
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  return { kill, [Symbol.asyncDispose]: kill }
}

test(
  `${kills} kills under load lose nothing, bring nothing back, and held messages stay held`,
  { timeout: 120_000 },
  async () => {
    using folder = temporaryFolder()
    const socket = join(folder.path, 'broker.sock')
    const dir = join(folder.path, 'data')
    let broker = await start(dir, socket)
    await using bus = connectBus({ url: `ws+unix://${socket}`, token, backoff: { minMs: 5, maxMs: 50 } })

    const deliveries = new Map<string, number>()
    const acked = new Set<string>()
    const again: string[] = []
    const held: Delivery[] = []
    const onMessage = (message: Delivery): void => {
      if (acked.has(message.id)) again.push(message.id)
      deliveries.set(message.id, (deliveries.get(message.id) ?? 0) + 1)
      expect(message.attempt).toBe(1)
      if (message.seq % 10 === 0 && held.length < 20) held.push(message)
      else void message.ack().then(() => acked.add(message.id))
    }
    await using inbox = await bus.attach({ address: 'inbox', incarnation: 'i1', lifetime: 'named', onMessage })
    await using sender = await bus.attach({ address: 'sender', incarnation: 's1', lifetime: 'named' })

    let isOver = false
    const receipted = new Map<number, string>()
    const send = async (lane: number): Promise<void> => {
      for (let count = 0; !isOver; count += 1) {
        const id = `${lane}-${count}`
        const { seq } = await sender.send({ to: 'inbox', id, kind: 'note', payload: new Uint8Array(300) })
        expect(receipted.get(seq)).toBeUndefined()
        receipted.set(seq, id)
      }
    }
    const lanes = Array.from({ length: 32 }, (_, lane) => send(lane))
    for (let kill = 0; kill < kills; kill += 1) {
      await sleep(100 + Math.random() * 150)
      await broker.kill()
      broker = await start(dir, socket)
    }
    await sleep(100)
    isOver = true
    await Promise.all(lanes)
    while (acked.size + held.length < receipted.size) await sleep(5)

    expect(deliveries.size).toBe(receipted.size)
    expect(again).toEqual([])
    expect([...deliveries].filter(([, times]) => times > 1)).toEqual([])
    for (const message of held) await message.claim()
    console.log(`${kills} kills: ${receipted.size} receipted, all delivered once, ${held.length} held throughout`)
    await inbox.drain()
    await sender.drain()
    await broker.kill()
  },
)
