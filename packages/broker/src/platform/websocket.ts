/** One WebSocket as a session's transport. */
import type { Clock } from '@greenroom/proto'
import type { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import type { Transport } from '../outlet.ts'

/** A client that does not answer a close is cut after this. */
const closeMs = 1_000
const options = { binary: true, compress: false } as const

/** Close codes by which `ws` itself ends a connection that breaks the WebSocket protocol, in ours. */
const ours: ReadonlyMap<number, number> = new Map([
  [1002, 4400],
  [1007, 4400],
  [1009, 4413],
])

/** A WebSocket that says in Greenroom's codes what was wrong. */
export class BrokerWebSocket extends WebSocket {
  override close(code?: number, reason?: string | Buffer): void {
    super.close(code === undefined ? code : (ours.get(code) ?? code), reason)
  }
}

/**
 * Gives the memory of a written frame back at once. It lies outside of V8's heap, and V8 collects it by how full the heap
 * is: a broker makes much of the one and little of the other, so the frames of a fast stream would pile up to 40 MiB.
 */
function giveBack({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}

/**
 * The transport over a WebSocket.
 *
 * @param socket - what it was upgraded from: what is written in one call leaves in one piece
 */
export function webSocketTransport(webSocket: WebSocket, socket: Duplex, clock: Clock): Transport {
  return {
    write(frames) {
      socket.cork()
      for (const frame of frames) webSocket.send(frame, options, () => giveBack(frame))
      socket.uncork()
    },
    buffered: () => webSocket.bufferedAmount,
    defer: (flush) => process.nextTick(flush),
    pause: () => webSocket.pause(),
    resume: () => webSocket.resume(),
    ping() {
      if (webSocket.readyState === WebSocket.OPEN) webSocket.ping()
    },
    close(code, reason) {
      // A paused socket would not see the answer.
      webSocket.resume()
      webSocket.close(code, reason)
      const deadline = clock.timer(closeMs, () => webSocket.terminate(), { background: true })
      webSocket.once('close', () => deadline.cancel())
    },
    destroy: () => webSocket.terminate(),
  }
}
