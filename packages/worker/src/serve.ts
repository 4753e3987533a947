/** The worker process: from its standard input to its exit code (PROTOCOL.md §8). */
import { connectBus, openThreadedSocket } from '@greenroom/bus'
import { codeOf, limits, type Provision } from '@greenroom/proto'
import { messageOf, traceOf } from './ending.ts'
import type { Executors } from './executor.ts'
import { checkServeOptions } from './option-check.ts'
import { leaveOrphaned } from './orphan.ts'
import {
  isWorkerProcess,
  keepYoung,
  leave,
  onCrash,
  onTermination,
  readInput,
  sayReady,
  watchLifeline,
} from './platform/entry.ts'
import { systemPlatform } from './platform/system.ts'
import { readProvision } from './provisioning.ts'
import { startWorker, type Worker, type WorkerEnd } from './worker.ts'

/** What a worker file serves. */
export interface ServeOptions {
  /** By the names under which roles ask for them. */
  readonly executors: Executors
}

/**
 * Serves executors, when this process was spawned as a worker; otherwise it does nothing, so that a program may import
 * its worker file for the types.
 *
 * The process ends with 0 when it was drained, idle or its owner is gone, 3 when it was fenced, 78 when its
 * provisioning document was refused, 70 when it crashed.
 *
 * @param options - the executors
 * @throws GreenroomError `BAD_OPTIONS`, whether it is a worker or not
 *
 * @example
 * ```ts
 * import { echo, serveWorker } from '@greenroom/worker'
 *
 * export const executors = { echo }
 * await serveWorker({ executors })
 * ```
 */
export async function serveWorker(options: ServeOptions): Promise<void> {
  checkServeOptions(options)
  if (!isWorkerProcess()) return
  keepYoung()
  const { executors } = options
  const platform = systemPlatform()
  onCrash((error) => {
    platform.log(traceOf(error))
    leave(70, { code: codeOf(error) ?? 'EXECUTOR_ERROR', message: messageOf(error) })
  })
  const orders = takeOrders()
  const provision = await provisioned(executors)
  try {
    // Its spawner cannot see a local worker's thread, and sees its process: only a resident is judged by its connection.
    const socket = provision.resident === undefined ? {} : { socket: openThreadedSocket }
    const bus = connectBus({ ...provision.bus, agent: 'greenroom-worker', ...socket })
    const worker = await startWorker({ bus, provision, executors, platform, renew: (token) => bus.renew(token) })
    orders.to(worker, provision)
    if (provision.resident !== undefined) sayReady(provision)
    const end = await worker.closed
    await bus.close()
    leaveAfter(end)
  } catch (error) {
    const code = codeOf(error) ?? 'INTERNAL'
    leave(code === 'FENCED' || code === 'REPLACED' ? 3 : 70, { code, message: messageOf(error) })
  }
}

async function provisioned(executors: Executors): Promise<Provision> {
  try {
    return readProvision(await readInput(limits.provisionBytes), executors)
  } catch (error) {
    return leave(78, { code: codeOf(error) ?? 'SPEC_INVALID', message: messageOf(error) })
  }
}

function leaveAfter({ why, message }: WorkerEnd): never {
  if (why === 'fenced') leave(3, { code: 'FENCED', message })
  if (why === 'lost') leave(70, { code: 'CONNECT_FAILED', message })
  leave(0)
}

/** Lifeline and signals: before there is a worker they end the process, from then on they are the worker's orders. */
function takeOrders(): { to(worker: Worker, provision: Provision): void } {
  let onOrphan = (): void => leave(0)
  let onSignal = (_count: number): void => leave(0)
  watchLifeline(() => onOrphan())
  onTermination((count) => onSignal(count))
  return {
    to(worker, { cancelGraceMs }) {
      onOrphan = () => void leaveOrphaned(worker, cancelGraceMs)
      onSignal = (count) => void (count === 1 ? worker.drain() : worker.close({ reason: 'the worker was told to end' }))
    },
  }
}
