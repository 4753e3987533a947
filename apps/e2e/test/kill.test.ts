/** `kill -9` of each kind of process, for real. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createRunner, workerEntry } from '@greenroom/runner'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { sourceArgs, startBroker } from './broker-process.ts'
import { isAlive, untilGone, untilSpinning } from './kill/processes.ts'

const worker = workerEntry<typeof import('./kill/worker.ts').executors>(new URL('./kill/worker.ts', import.meta.url))
const program = z.object({ pid: z.number() })

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'greenroom-kill-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('a worker killed in mid-run', () => {
  it('ends its run as WORKER_LOST within a second, keeps the transcript, and takes its programs along', async () => {
    await using runner = await createRunner({
      worker,
      roles: { keeper: { executor: 'keeper' } },
      dataDir: join(folder, 'worker'),
    })
    const run = runner.run({ role: 'keeper', task: 'keep on' })
    for await (const event of run) {
      if (event.type !== 'data') continue
      const { pid } = program.parse(event.data)
      const workerPid = run.status().worker?.pid ?? 0
      expect(isAlive(pid) && isAlive(workerPid)).toBe(true)
      const start = performance.now()
      process.kill(workerPid, 'SIGKILL')
      const outcome = await run.outcome
      const ms = performance.now() - start
      console.log(`worker killed: WORKER_LOST after ${ms.toFixed(0)} ms (bound: 1,000 ms)`)
      expect(outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST' })
      expect(outcome).not.toMatchObject({ mayStillRun: true })
      expect(ms).toBeLessThan(1000)
      console.log(`its program was gone ${(await untilGone([pid, workerPid], 3 * 2000)).toFixed(0)} ms later`)
    }
    const transcript = await runner.sessions.messages(run.status().session)
    expect(transcript.map((message) => message.content)).toEqual(['keep on', 'the first words'])
  })
})

describe('the runner killed', () => {
  for (const role of ['keeper', 'spinner'])
    it(`leaves no worker and no program alive (${role === 'spinner' ? 'an executor spins' : 'an executor waits'})`, async () => {
      const host = new URL('./kill/host.ts', import.meta.url).pathname
      const child = spawn(process.execPath, [...sourceArgs, host, role, join(folder, `runner-${role}`)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const exited = once(child, 'exit')
      const [line] = await once(createInterface(child.stdout), 'line')
      const pids = z.object({ worker: z.number(), program }).parse(JSON.parse(String(line)))
      const family = [pids.worker, pids.program.pid]
      expect(family.every(isAlive)).toBe(true)
      if (role === 'spinner') await untilSpinning(pids.worker)
      const gone = untilGone(family, 3 * 2000)
      child.kill('SIGKILL')
      console.log(
        `runner killed (${role}): worker and program gone after ${(await gone).toFixed(0)} ms (bound: 2,000 ms)`,
      )
      await exited
      if (role === 'spinner') return
      // What was acknowledged is in the transcript that the next life of the runner finds.
      await using heir = await createRunner({
        worker,
        roles: { keeper: { executor: 'keeper' } },
        dataDir: join(folder, 'runner-keeper'),
      })
      const transcript = await heir.sessions.messages('killed')
      expect(transcript.map((message) => message.content)).toEqual(['keep on', 'the first words'])
    })
})

describe('a separate broker killed and restarted on the same data', () => {
  const token = 'a-token-for-the-kill-test'

  /** A runner on a broker of its own that can be killed and restarted under it. */
  async function open(name: string) {
    const stack = new AsyncDisposableStack()
    const data = join(folder, name)
    let broker = await startBroker(data, token)
    stack.defer(() => broker.kill())
    const runner = await createRunner({
      worker,
      roles: { counter: { executor: 'counter' } },
      bus: { url: broker.url, token },
      dataDir: join(folder, `${name}-runner`),
      logger: { warn: () => undefined, output: () => undefined },
    })
    stack.use(runner)
    const restart = async (): Promise<void> => {
      await broker.kill()
      broker = await startBroker(data, token, broker.port)
    }
    return { runner, restart, [Symbol.asyncDispose]: () => stack.disposeAsync() }
  }

  it('lets the run complete, every entry exactly once and in order', { timeout: 60_000 }, async () => {
    await using it = await open('calm')
    const entries = 300
    const run = it.runner.run({ role: 'counter', input: { entries, everyMs: 10 } })
    const counts: unknown[] = []
    for await (const event of run) {
      if (event.type !== 'data') continue
      counts.push(event.data)
      if (event.data === 50 || event.data === 150) await it.restart()
    }
    expect(await run.outcome).toMatchObject({ status: 'completed', output: { entries } })
    expect(counts).toEqual(Array.from({ length: entries }, (_, n) => n + 1))
    expect(run.status().attempts).toBe(1)
  })

  it('also at full rate, when it dies amid a stream of entries and deltas', { timeout: 120_000 }, async () => {
    await using it = await open('flood')
    const entries = 30_000
    const run = it.runner.run({ role: 'counter', input: { entries, everyMs: 0 } })
    let restarting: Promise<void> = Promise.resolve()
    const wrong: unknown[] = []
    let seq = 0
    for await (const event of run) {
      seq += 1
      const [kind, n] = seq % 2 === 1 ? ['data', (seq + 1) / 2] : ['text-delta', seq / 2]
      const said = event.type === 'data' ? event.data : event.type === 'text-delta' ? Number(event.text) : undefined
      if (event.type !== kind || said !== n || ('seq' in event && event.seq !== seq)) wrong.push([seq, event])
      // The reader goes on meanwhile: what is on its way then is lost, and has to come again.
      if (event.type === 'data' && [3_000, 14_000, 25_000].includes(Number(n))) restarting = it.restart()
    }
    await restarting
    expect(wrong.slice(0, 3)).toEqual([])
    expect(seq).toBe(2 * entries)
    expect(await run.outcome).toMatchObject({ status: 'completed', output: { entries } })
    expect(run.status().attempts).toBe(1)
  })

  it(
    'at every stage of a run: while its worker starts, at its claim, at its terminal',
    { timeout: 120_000 },
    async () => {
      const stages: readonly (number | 'terminal')[] = [0, 40, 80, 100, 120, 140, 'terminal', 'terminal']
      for (const [round, stage] of stages.entries()) {
        await using it = await open(`stage-${round}`)
        const run = it.runner.run({ role: 'counter', input: { entries: 3, everyMs: 0 } })
        if (stage !== 'terminal') {
          await new Promise((resolve) => setTimeout(resolve, stage))
          await it.restart()
        }
        const counts: unknown[] = []
        for await (const event of run) {
          if (event.type === 'data') counts.push(event.data)
          if (stage === 'terminal' && event.type === 'data' && event.data === 3) await it.restart()
        }
        expect(await run.outcome, `killed at ${stage}`).toEqual({
          status: 'completed',
          output: { entries: 3 },
          text: '',
        })
        expect(counts).toEqual([1, 2, 3])
        expect(run.status().attempts).toBe(1)
        expect(it.runner.stats()).toMatchObject({ runs: [], ended: 1 })
      }
    },
  )
})
