/** A worker process started by hand, as its spawner does it: measured from outside. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Broker } from '@greenroom/broker'
import { provisionVersion, type Peer, type Provision } from '@greenroom/proto'

/** A started, attached worker. */
export interface StartedWorker extends AsyncDisposable {
  readonly pid: number
  /** From the spawn until it was attached, in milliseconds. */
  readonly readyMs: number
}

/** Starts a worker and waits until it is attached. */
export async function startWorkerProcess(
  broker: Broker,
  token: string,
  peer: Peer,
  cache: string,
): Promise<StartedWorker> {
  const incarnation = randomBytes(8).toString('hex')
  const provision: Provision = {
    version: provisionVersion,
    bus: { url: broker.url ?? '', token },
    address: `worker.${incarnation}`,
    incarnation,
    role: 'bench',
    executors: ['echo'],
  }
  const attached = Promise.withResolvers<void>()
  const stop = peer.watch('bench', (change) => {
    if (change.incarnation === incarnation && change.state === 'attached') attached.resolve()
  })
  const entry = new URL(`./executors${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
  const start = performance.now()
  const child = spawn(process.execPath, [...process.execArgv, entry.pathname, '--greenroom-worker'], {
    stdio: ['pipe', 'inherit', 'inherit', 'pipe'],
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: cache },
  })
  const exited = once(child, 'exit')
  child.stdin?.end(JSON.stringify(provision))
  await Promise.race([
    attached.promise,
    exited.then(() => Promise.reject(new Error('the worker ended before it was ready'))),
  ])
  const readyMs = performance.now() - start
  stop()
  return {
    pid: child.pid ?? 0,
    readyMs,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      await exited
    },
  }
}
