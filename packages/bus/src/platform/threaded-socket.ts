/**
 * A connection in a thread of its own: it answers pings and takes what comes while the main loop is busy, so that work that
 * keeps the loop for minutes does not look like the death of the process. Some 10 MiB and 25 ms for each connection.
 *
 * - *T1* What is written and received waits for the main loop, in order; only pings do not.
 * - *T2* Where the thread's file is not there, as in a bundle of one file, the connection is in the main loop.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Socket, SocketEvents, SocketTarget } from '../socket.ts'
import { openWebSocket } from './socket.ts'
import type { SocketOrder, SocketReport } from './socket-message.ts'

/** Beside this file: as a source when this is a source, built when this is built. */
const entry = new URL(import.meta.url.endsWith('.ts') ? './socket-thread.ts' : './socket-thread.js', import.meta.url)

/**
 * Opens a WebSocket to a broker, in a thread (T1, T2): the `socket` of {@link ConnectOptions} for a process whose main loop
 * may be busy for longer than the broker waits for a sign of life.
 *
 * @param target - where to and as whom
 * @param events - told what happens
 *
 * @example
 * ```ts
 * import { connectBus, openThreadedSocket } from '@greenroom/bus'
 *
 * await using bus = connectBus({ url: 'ws://127.0.0.1:7440', token: 'a-token-of-your-own', socket: openThreadedSocket })
 * console.log(bus.capabilities.size)
 * ```
 */
export function openThreadedSocket(target: SocketTarget, events: SocketEvents): Socket {
  return existsSync(fileURLToPath(entry)) ? new ThreadedSocket(target, events) : openWebSocket(target, events)
}

class ThreadedSocket implements Socket {
  readonly #thread: Worker
  readonly #events: SocketEvents
  readonly #isBackground: boolean
  /** Bytes on their way to the thread. */
  #sent = 0
  /** Bytes that it has, and the system does not. */
  #held = 0
  #isOver = false

  constructor({ background = false, ...target }: SocketTarget, events: SocketEvents) {
    this.#events = events
    this.#isBackground = background
    this.#thread = new Worker(entry, { workerData: target, name: 'greenroom-connection' })
    this.#thread.on('message', (report: SocketReport) => this.#take(report))
    this.#thread.on('error', (error) => this.#end(1006, `its thread failed: ${String(error)}`))
    this.#thread.on('exit', () => this.#end(1006, 'its thread ended'))
  }

  write(frames: readonly Uint8Array[]): void {
    // Copies: a frame may be a part of a buffer that others use.
    const copies = frames.map((frame) => new Uint8Array(frame))
    this.#sent += copies.reduce((sum, { length }) => sum + length, 0)
    this.#tell(
      { type: 'write', frames: copies },
      copies.map(({ buffer }) => buffer),
    )
  }

  buffered(): number {
    return this.#sent + this.#held
  }

  close(code?: number, reason?: string): void {
    this.#tell({ type: 'close', code, reason })
  }

  destroy(): void {
    this.#tell({ type: 'destroy' })
  }

  #tell(order: SocketOrder, transfer: readonly ArrayBuffer[] = []): void {
    if (!this.#isOver) this.#thread.postMessage(order, transfer)
  }

  #take(report: SocketReport): void {
    if (this.#isOver) return
    switch (report.type) {
      case 'opened':
        if (this.#isBackground) this.#thread.unref()
        return this.#events.opened()
      case 'ping':
        return this.#events.ping()
      case 'frame':
        return this.#events.frame(report.bytes)
      case 'held':
        this.#sent -= report.wrote
        this.#held = report.bytes
        return this.#events.drained()
      case 'closed':
        return this.#end(report.code, report.reason)
    }
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#events.closed(code, reason)
  }
}
