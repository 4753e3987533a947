/** A broker in a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** A running broker process. */
export interface BrokerProcess extends AsyncDisposable {
  readonly pid: number
  readonly url: string
  readonly port: number
  /** `kill -9`; resolves when it is gone. */
  kill(): Promise<void>
}

/** How programs that a test starts find our sources. */
export const sourceArgs: readonly string[] = ['--conditions=@greenroom/source']

/** Starts a broker on a data folder and waits until it listens. */
export async function startBroker(dir: string, token: string, port = 0): Promise<BrokerProcess> {
  const script = new URL('./flood/broker.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [...sourceArgs, script, dir, token, String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const lines = createInterface(child.stdout)
  const [url] = await Promise.race([
    once(lines, 'line'),
    exited.then(() => Promise.reject(new Error('the broker ended before it listened'))),
  ])
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  return {
    pid: child.pid ?? 0,
    url: String(url),
    port: Number(new URL(String(url)).port),
    kill,
    [Symbol.asyncDispose]: kill,
  }
}
