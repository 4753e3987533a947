/** A broker in a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('./broker-program.ts', import.meta.url))

/** A broker that can be killed. */
export interface BrokerProcess extends AsyncDisposable {
  /** Ends it at once, and waits until it is gone. */
  kill(): Promise<void>
}

/**
 * Starts a broker and waits until it listens.
 *
 * @param synchronous - how it flushes
 */
export async function startBroker(
  dir: string,
  socket: string,
  token: string,
  synchronous: 'full' | 'normal',
): Promise<BrokerProcess> {
  const child = spawn(process.execPath, ['--conditions=@greenroom/source', program, dir, socket, token, synchronous], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const first: unknown[] = await Promise.race([once(child.stdout, 'data'), exited])
  if (String(first[0]).trim() !== 'ready') throw new Error(`the broker did not start: ${String(first[0])}`)
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  return { kill, [Symbol.asyncDispose]: kill }
}
