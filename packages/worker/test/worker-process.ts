/** A real worker process, a real broker and a runner double on it. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createBroker } from '@greenroom/broker'
import { systemRandom, type Provision } from '@greenroom/proto'
import { RunnerDouble } from '../src/testing/runner-double.ts'

const file = fileURLToPath(new URL('./serve-worker.ts', import.meta.url))
const token = 'a-token-for-tests-only'

/** How a process ended, and what it said. */
export interface Ended {
  readonly code: number | null
  readonly stderr: string
  readonly stdout: string
  /** What stood behind `greenroom-error` on its last line. */
  readonly error: unknown
  readonly tookMs: number
}

/** A process whose ends are in the test's hands. */
export interface WorkerProcess extends AsyncDisposable {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** Ends its lifeline, as the death of its owner does. */
  orphan(): void
}

/** Starts the worker file; `document` goes to its standard input, then the end. */
export function startProcess(
  document: string,
  flags: readonly string[] = ['--greenroom-worker'],
  nodeFlags: readonly string[] = [],
): WorkerProcess {
  const start = performance.now()
  const child = spawn(process.execPath, [...nodeFlags, '--conditions=@greenroom/source', file, ...flags], {
    env: { PATH: process.env['PATH'] },
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  child.stdin?.on('error', () => {}).end(document)
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code) => {
      const [, error] = /^greenroom-error (.*)$/.exec(stderr.trimEnd().split('\n').at(-1) ?? '') ?? []
      resolve({
        code,
        stdout,
        stderr,
        error: error === undefined ? undefined : JSON.parse(error),
        tookMs: performance.now() - start,
      })
    })
  })
  return {
    child,
    ended,
    orphan: () => {
      const lifeline = child.stdio[3]
      if (lifeline && 'destroy' in lifeline) lifeline.destroy()
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** A broker on a private socket, a runner double, and worker processes that find them. */
export async function openStage() {
  const stack = new AsyncDisposableStack()
  const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'greenroom-')))
  const place = { dir: null, listen: { socket: join(folder.path, 'bus.sock') } } as const
  const broker = stack.use(await createBroker({ ...place, token }))
  const runner = stack.use(await RunnerDouble.attach(broker.bus))
  const members = new Map<string, PromiseWithResolvers<void>>()
  const member = (address: string): PromiseWithResolvers<void> => {
    const known = members.get(address) ?? Promise.withResolvers<void>()
    members.set(address, known)
    return known
  }
  runner.peer.watch('stage', ({ address }) => member(address).resolve())
  const url = broker.url ?? ''
  return {
    url,
    broker,
    runner,
    /** Starts a worker and waits until it is attached. */
    async start(more: Partial<Provision> = {}, nodeFlags: readonly string[] = []) {
      const address = `worker.${systemRandom.id().replaceAll(/[^A-Za-z0-9]/g, 'x')}`
      const provision: Provision = {
        version: 1,
        bus: { url, token },
        address,
        incarnation: systemRandom.id(),
        role: 'stage',
        executors: ['echo', 'command', 'look', 'stray', 'deaf', 'obedient', 'keeper'],
        cancelGraceMs: 300,
        ...more,
      }
      const worker = stack.use(startProcess(JSON.stringify(provision), undefined, nodeFlags))
      await Promise.race([member(address).promise, worker.ended])
      return { ...worker, address, incarnation: provision.incarnation }
    },
    /** Puts another broker there, which has another token. */
    async exchange() {
      await broker.close()
      stack.use(await createBroker({ ...place, token: 'another-token-than-that' }))
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}
