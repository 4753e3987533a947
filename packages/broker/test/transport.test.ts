import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { systemClock } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import type { Transport } from '../src/outlet.ts'
import { webSocketTransport } from '../src/platform/websocket.ts'

/** A transport, and at the other end of its socket a client that does not read yet. */
async function connected(): Promise<AsyncDisposable & { transport: Transport; client: WebSocket; socket: Duplex }> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const served = new Promise<{ transport: Transport; socket: Duplex }>((resolve) => {
    server.on('connection', (webSocket, { socket }) =>
      resolve({ transport: webSocketTransport(webSocket, socket, systemClock), socket }),
    )
  })
  const client = new WebSocket(`ws://127.0.0.1:${port}`)
  await once(client, 'open')
  client.pause()
  const dispose = async (): Promise<void> => {
    client.terminate()
    await new Promise((resolve) => server.close(resolve))
  }
  return { ...(await served), client, [Symbol.asyncDispose]: dispose }
}

test('the memory of a frame is given back once it is written, and not before', async () => {
  await using ends = await connected()
  const { transport, client, socket } = ends
  const frames = Array.from({ length: 400 }, (_, n) => new Uint8Array(64 * 1024).fill(n))
  const sizes = (): Set<number> => new Set(frames.map(({ byteLength }) => byteLength))
  for (let n = 0; n < frames.length; n += 8) transport.write(frames.slice(n, n + 8))
  // More than the kernel takes for a socket that nobody reads.
  await setImmediate()
  expect(transport.buffered()).toBeGreaterThan(0)
  expect(frames.at(-1)?.byteLength).toBe(64 * 1024)

  const received: number[] = []
  client.on('message', (data: Buffer) => {
    expect(data.length).toBe(64 * 1024)
    expect(data.every((byte) => byte === data[0])).toBe(true)
    received.push(data[0] ?? -1)
  })
  client.resume()
  if (transport.buffered() > 0) await once(socket, 'drain')
  await expect.poll(() => received.length).toBe(frames.length)
  expect(received).toEqual(frames.map((_, n) => n % 256))
  await expect.poll(sizes).toEqual(new Set([0]))
})

test('a connection that is cut while frames wait to be written ends in order', async () => {
  await using ends = await connected()
  const { transport, client, socket } = ends
  const frames = Array.from({ length: 400 }, () => new Uint8Array(64 * 1024))
  transport.write(frames)
  await setImmediate()
  expect(transport.buffered()).toBeGreaterThan(0)
  const closed = once(socket, 'close')
  transport.destroy()
  await closed
  client.resume()
  await once(client, 'close')
  await expect.poll(() => frames.every(({ byteLength }) => byteLength === 0)).toBe(true)
})
