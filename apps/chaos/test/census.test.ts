/** Who is taken for what, among real processes. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { Census, markName } from '../src/census.ts'

const started: ChildProcess[] = []

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL')
})

/** A process with a worker's command that has started another one with the same, as a program has until it has its own. */
async function workerWithChild(mark: string): Promise<{ readonly worker: number; readonly child: number }> {
  const waiting = 'process.stdin.resume()'
  const starts = `const { spawn } = require('node:child_process')
    const child = spawn(process.execPath, ['-e', ${JSON.stringify(waiting)}, '--', '--greenroom-worker'], { stdio: ['pipe', 'ignore', 'ignore'] })
    child.once('spawn', () => console.log(child.pid))`
  const worker = spawn(process.execPath, ['-e', starts, '--', '--greenroom-worker'], {
    env: { [markName]: mark },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  started.push(worker)
  const [line]: unknown[] = await once(worker.stdout, 'data')
  return { worker: worker.pid ?? 0, child: Number(String(line)) }
}

test('what a worker starts is not taken for a worker whose runner has ended, even while it looks like one', async () => {
  const mark = `census-${process.pid}`
  const { worker, child } = await workerWithChild(mark)
  const census = new Census(mark)
  expect(child).toBeGreaterThan(0)
  expect(census.leftWorkers([]).map(({ pid }) => pid)).toEqual([worker])
  expect(census.leftWorkers([process.pid])).toEqual([])
  expect(new Census('another').leftWorkers([])).toEqual([])
})
