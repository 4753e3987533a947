/** A broker with a watcher, for the benchmarks that start workers by hand. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createBroker } from '@greenroom/broker'
import { scratch } from './scratch.ts'
import { startWorkerProcess, type StartedWorker } from './worker-process.ts'

/** Starts attached workers, one after the other. */
export interface Workshop extends AsyncDisposable {
  start(): Promise<StartedWorker>
}

/** Opens a workshop in a folder of its own. */
export async function openWorkshop(): Promise<Workshop> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await scratch())
  const token = randomBytes(24).toString('hex')
  const broker = stack.use(
    await createBroker({ dir: join(folder.path, 'data'), listen: { socket: join(folder.path, 'broker.sock') }, token }),
  )
  const peer = stack.use(
    await broker.bus.attach({
      address: 'bench.watcher',
      incarnation: randomBytes(8).toString('hex'),
      lifetime: 'named',
    }),
  )
  const owned = stack.move()
  return {
    start: () => startWorkerProcess(broker, token, peer, join(folder.path, 'cache')),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
