/**
 * The limit of streaming: a plain `ws` relay in a process of its own, which passes each message on as it comes.
 *
 * Run as a program it is the relay; {@link rawRelay} measures through it.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { WebSocket, WebSocketServer } from 'ws'
import { firstWords } from './bare.ts'
import type { Measure } from './figure.ts'

async function connect(port: number): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false })
  await once(socket, 'open')
  return socket
}

/** A relay process with one sender and one receiver. */
export async function rawRelay(bytes: number, total: number): Promise<AsyncDisposable & { readonly measure: Measure }> {
  const child: ChildProcess = fork(new URL(import.meta.url), ['relay'])
  const port = Number(await firstWords(child))
  const receiver = await connect(port)
  const sender = await connect(port)
  const payload = Buffer.alloc(bytes)
  const measure = async (): Promise<number> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let seen = 0
    const count = (): void => {
      seen += 1
      if (seen === total) resolve()
    }
    receiver.on('message', count)
    const start = performance.now()
    for (let n = 0; n < total; n += 1) {
      sender.send(payload)
      // As fast as the socket takes it, but no faster: the same back pressure that the link has.
      if (sender.bufferedAmount > 1024 * 1024) await new Promise((next) => setImmediate(next))
    }
    await promise
    receiver.off('message', count)
    return (total / (performance.now() - start)) * 1000
  }
  return {
    measure,
    [Symbol.asyncDispose]: async () => {
      sender.close()
      receiver.close()
      child.kill()
      await once(child, 'exit')
    },
  }
}

if (process.argv[2] === 'relay') {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
  server.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => {
      for (const other of server.clients) if (other !== socket) other.send(data, { binary: isBinary })
    })
  })
  server.on('listening', () => {
    const address = server.address()
    if (typeof address === 'object' && address !== null) process.send?.(address.port)
  })
}
