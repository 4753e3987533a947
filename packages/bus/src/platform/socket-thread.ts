/** The thread of a connection: see `threaded-socket`. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import type { Socket, SocketTarget } from '../socket.ts'
import { openWebSocket } from './socket.ts'
import type { SocketOrder, SocketReport } from './socket-message.ts'

function serve(port: MessagePort, target: SocketTarget): void {
  let wrote = 0
  const tell = (report: SocketReport, transfer: readonly ArrayBuffer[] = []): void => port.postMessage(report, transfer)
  const held = (): void => {
    tell({ type: 'held', wrote, bytes: socket.buffered() })
    wrote = 0
  }
  const socket: Socket = openWebSocket(target, {
    opened: () => tell({ type: 'opened' }),
    ping: () => tell({ type: 'ping' }),
    drained: held,
    frame(received) {
      const bytes = new Uint8Array(received)
      tell({ type: 'frame', bytes }, [bytes.buffer])
    },
    closed(code, reason) {
      tell({ type: 'closed', code, reason })
      port.close()
    },
  })
  port.on('message', (order: SocketOrder) => {
    if (order.type === 'close') return socket.close(order.code, order.reason)
    if (order.type === 'destroy') return socket.destroy()
    socket.write(order.frames)
    wrote += order.frames.reduce((sum, { length }) => sum + length, 0)
    held()
  })
}

if (parentPort !== null) serve(parentPort, workerData as SocketTarget)
