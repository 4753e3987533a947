/**
 * Both ends of a link, and between them a live lane that keeps order but may lose anything: what PROTOCOL.md §4 allows.
 * Time stands still unless a test moves it, and nothing moves unless a test says so.
 */
import {
  createLinkReceiver,
  createLinkSender,
  type LinkReceiver,
  type LinkSender,
  type LinkSenderOptions,
} from '@greenroom/bus'
import { createManualClock } from '@greenroom/bus/testing'
import { decodeMessage, isRunKind, limits, type WireEvent } from '@greenroom/proto'

interface Message {
  readonly kind: string
  readonly payload: Uint8Array
}

/** See the head of this file. */
export class LossyLink {
  readonly clock = createManualClock()
  readonly ref = { runId: 'r1', epoch: 1 }
  readonly delivered: { readonly seq: number; readonly event: WireEvent }[] = []
  /** What is on its way to the runner, and to the worker. */
  readonly toRunner: Message[] = []
  readonly toWorker: Message[] = []
  /** Whether the worker's, and the runner's, connection stands. */
  workerUp = true
  runnerUp = true
  /** How many messages the worker's connection still takes before it is full. */
  room = Number.POSITIVE_INFINITY
  /** Whether the runner acknowledges what it gets at once. */
  acks = true
  /** The largest `events` message so far. */
  largest = { events: 0, bytes: 0 }
  readonly sender: LinkSender
  receiver: LinkReceiver
  readonly #deferred: (() => void)[] = []

  constructor(options: Partial<LinkSenderOptions> = {}) {
    const publish = (message: Message): boolean => {
      if (!this.workerUp || this.room <= 0) return false
      this.room -= 1
      this.toRunner.push(message)
      return true
    }
    const { clock, ref } = this
    this.sender = createLinkSender({ peer: { publish }, to: 'runner', ref, clock, defer: this.#defer, ...options })
    this.receiver = this.open(0)
  }

  readonly #defer = (task: () => void): void => void this.#deferred.push(task)

  /** A runner that starts with what it has stored. */
  open(received: number): LinkReceiver {
    const publish = (message: Message): boolean => {
      if (this.runnerUp) this.toWorker.push(message)
      return this.runnerUp
    }
    const receiver = createLinkReceiver({
      peer: { publish },
      to: 'worker',
      ref: this.ref,
      clock: this.clock,
      received,
      defer: this.#defer,
      deliver: (first, events) => {
        events.forEach((event, index) => this.delivered.push({ seq: first + index, event }))
        if (this.acks) receiver.ack(first + events.length - 1)
      },
    })
    this.receiver = receiver
    return receiver
  }

  /** Ends the tick: runs what was put off. */
  tick(): void {
    while (this.#deferred.length > 0) this.#deferred.shift()?.()
  }

  /** Hands over up to `count` messages of each direction. */
  carry(count = Number.POSITIVE_INFINITY): void {
    for (let left = count; left > 0 && this.toRunner.length > 0; left -= 1) this.#hear(this.toRunner.shift())
    for (let left = count; left > 0 && this.toWorker.length > 0; left -= 1) this.#hear(this.toWorker.shift())
    this.tick()
  }

  /** Carries until nothing moves any more. */
  settle(): void {
    this.tick()
    while (this.toRunner.length + this.toWorker.length > 0) this.carry()
  }

  #hear(message: Message | undefined): void {
    if (message === undefined || !isRunKind(message.kind)) return
    const { kind, payload } = message
    if (kind === 'events') {
      const events = decodeMessage('events', payload)
      this.largest = {
        events: Math.max(this.largest.events, events.events.length),
        bytes: Math.max(this.largest.bytes, payload.length),
      }
      this.receiver.receive(events)
    } else if (kind === 'heartbeat') this.receiver.heartbeat(decodeMessage('heartbeat', payload))
    else if (kind === 'ack') this.sender.ack(decodeMessage('ack', payload).upTo)
    else if (kind === 'resume') this.sender.resume(decodeMessage('resume', payload).ack)
  }

  /** One end's connection is lost, with all that is on its way to it and half of what it sent. */
  lose(side: 'worker' | 'runner'): void {
    if (side === 'worker') this.workerUp = false
    else this.runnerUp = false
    this.toRunner.splice(Math.floor(this.toRunner.length / 2))
    this.toWorker.splice(0)
  }

  /** It is attached again. */
  attach(side: 'worker' | 'runner'): void {
    if (side === 'worker') {
      this.workerUp = true
      this.room = Number.POSITIVE_INFINITY
      this.sender.attached()
    } else this.runnerUp = true
    this.receiver.attached()
    this.tick()
  }
}

/** The payload limit, for events that are too large. */
export const largestPayload: number = limits.payloadBytes
