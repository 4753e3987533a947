/** A worker: serves executors on a bus. */
import type { Bus, Clock, Provision, Random } from '@greenroom/proto'
import { messageOf } from './ending.ts'
import type { Executors } from './executor.ts'
import { checkWorkerOptions } from './option-check.ts'
import { WorkerLoop } from './worker-loop.ts'
import { presenceOf, slotsOf } from './worker-presence.ts'
import type { WorkerPlatform } from './worker-platform.ts'

/** How to start a worker's loop. */
export interface WorkerOptions {
  /** Where its mailbox is. */
  readonly bus: Bus
  /** Its mailbox, executors, secrets and times; `bus` in it is not looked at. */
  readonly provision: Provision
  /** What it can do; it serves those that the provisioning names. */
  readonly executors: Executors
  /** The process it lives in. */
  readonly platform: WorkerPlatform
  /** = the system's */
  readonly clock?: Clock
  /** Names what its runs ask for. = the system's */
  readonly random?: Random
  /** Takes a newer token for the bus, when the runner sends one. = nobody does */
  readonly renew?: (token: string) => Promise<void>
  /** Stops waiting for the bus. */
  readonly signal?: AbortSignal
}

/** Why a worker left. */
export interface WorkerEnd {
  /** It was told to, was idle for too long, its incarnation was ended, or its bus turned it away. */
  readonly why: 'drained' | 'closed' | 'idle' | 'fenced' | 'lost'
  /** The same for people. */
  readonly message: string
}

/** A running worker. */
export interface Worker extends AsyncDisposable {
  /** How many more runs it would take now. */
  readonly freeSlots: number
  /**
   * Takes no new runs, waits until those it has are done and acknowledged, then leaves. Also the async disposer.
   *
   * @param options - `graceMs`: what still runs after it is cancelled; for ever by default
   */
  drain(options?: { readonly graceMs?: number }): Promise<void>
  /**
   * Cancels all runs and leaves.
   *
   * @param options - `graceMs`: how long executors may take, 0 by default; `reason`: told to them and to the runner
   */
  close(options?: { readonly graceMs?: number; readonly reason?: string }): Promise<void>
  /** Resolves when it has left, with why. Never rejects. */
  readonly closed: Promise<WorkerEnd>
}

/**
 * Attaches to a bus and serves executors on it until it is drained, idle or fenced.
 *
 * @param options - the bus, what was provisioned, what it can do
 * @throws GreenroomError `BAD_OPTIONS`, and what {@link Bus.attach} throws
 *
 * @example
 * ```ts
 * import { createMemoryBus } from '@greenroom/bus'
 * import { echo, startWorker } from '@greenroom/worker'
 * import { spawnGuarded } from '@greenroom/bus/process'
 *
 * await using bus = createMemoryBus()
 * await using worker = await startWorker({
 *   bus,
 *   executors: { echo },
 *   provision: {
 *     version: 1, bus: { url: 'ws://unused', token: '' }, address: 'worker.1', incarnation: 'w1', role: 'echo',
 *     executors: ['echo'],
 *   },
 *   platform: { env: {}, spawn: spawnGuarded, log: (line) => console.error(line) },
 * })
 * console.log(worker.freeSlots)
 * ```
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  checkWorkerOptions(options)
  const { address, incarnation } = options.provision
  const { promise: ready, resolve } = Promise.withResolvers<WorkerLoop>()
  const peer = await options.bus.attach({
    address,
    incarnation,
    lifetime: 'incarnation',
    presence: presenceOf(options, slotsOf(options)),
    // The first message may arrive before `attach` has returned.
    onMessage: (delivery) => void ready.then((loop) => loop.receive(delivery)),
    onLive: (message) => void ready.then((loop) => loop.receiveLive(message)),
    onState: (state) => void (state === 'attached' && ready.then((loop) => loop.attached())),
    onError: (error) => options.platform.log(`greenroom: ${messageOf(error)}`),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  })
  const loop = new WorkerLoop(options, peer)
  resolve(loop)
  return loop
}
