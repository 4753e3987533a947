/** What runs at a remote worker do and suffer: over its own endpoint, as everywhere. */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { createRunner, type AnyRunner, type Run, type RunnerOptions } from '../src/index.ts'
import { ResidentStage, token, unusable } from './resident/stage.ts'

const file = fileURLToPath(new URL('resident/direct.ts', import.meta.url))
const names = ['listens', 'asks', 'repeats', 'breaks', 'deaf']

async function endpoint(stage: ResidentStage, ...more: string[]): Promise<string> {
  const words = ['--listen', '127.0.0.1:0', '--token-file', stage.tokenFile, ...more]
  const [, url = ''] = await stage.command('worker', file, ...words).line(/ready at (\S+) in resident/)
  return url
}

function runnerAt(remote: string, options: Partial<RunnerOptions> = {}): Promise<AnyRunner> {
  const roles = Object.fromEntries(names.map((executor) => [executor, { executor, placement: { remote, token } }]))
  return createRunner({ worker: unusable, roles, dataDir: null, quiet: true, ...options })
}

async function begun(run: Run<unknown>): Promise<void> {
  for await (const event of run) if (event.type === 'data') return
  throw new Error(`it ended: ${JSON.stringify(await run.outcome)}`)
}

async function marksOf(run: Run<unknown>): Promise<unknown[]> {
  const marks: unknown[] = []
  for await (const event of run) if (event.type === 'data') marks.push(event.data)
  return marks
}

describe('at a remote worker', { timeout: 60_000 }, () => {
  test('a text reaches the run in progress', async () => {
    await using stage = new ResidentStage()
    await using runner = await runnerAt(await endpoint(stage))
    const run = runner.run({ role: 'listens' })
    await begun(run)
    expect(await run.send('to you')).toMatch(/delivered|queued/)
    expect(await run.outcome).toMatchObject({ status: 'completed', text: 'to you' })
    expect(await run.send('too late')).toBe('not-live')
  })

  test('what a run asks is decided here, and answered there', async () => {
    await using stage = new ResidentStage()
    await using runner = await runnerAt(await endpoint(stage), {
      approvals: {
        policy: ({ resource }) =>
          resource === 'edit'
            ? { allow: true, reason: 'with care', input: { args: ['edited'] } }
            : { allow: false, reason: 'not that' },
      },
    })
    const allowed = runner.run({ role: 'asks', task: 'edit' })
    expect(await allowed.outcome).toMatchObject({ output: [true, 'with care', { args: ['edited'] }] })
    expect(await runner.run({ role: 'asks', task: 'drop' }).outcome).toMatchObject({
      output: [false, 'not that', null],
    })
  })

  test('runs of two runners at the same time do not mix', async () => {
    await using stage = new ResidentStage()
    const remote = await endpoint(stage, '--slots', '4')
    await using one = await runnerAt(remote)
    await using two = await runnerAt(remote)
    const runs = [one, two].flatMap((runner, n) =>
      ['a', 'b'].map((letter) => runner.run({ role: 'repeats', task: `${letter}${n}` })),
    )
    const marks = await Promise.all(runs.map(marksOf))
    for (const [n, task] of ['a0', 'b0', 'a1', 'b1'].entries()) {
      expect(marks[n]).toEqual(Array.from({ length: 100 }, (_, mark) => `${task} ${mark}`))
      expect(await runs[n]?.outcome).toMatchObject({ status: 'completed', text: task })
    }
  })

  test('what an executor throws is the outcome, with its words, and the worker has the next run', async () => {
    await using stage = new ResidentStage()
    await using runner = await runnerAt(await endpoint(stage))
    const broken = runner.run({ role: 'breaks', task: 'dawn' })
    expect(await broken.outcome).toMatchObject({ code: 'EXECUTOR_ERROR', message: 'it broke at dawn', retry: 'never' })
    expect(await runner.run({ role: 'deaf', task: '1' }).outcome).toMatchObject({ status: 'completed' })
  })

  test('one that hears no cancel ends for its caller after the grace, and keeps its slot until it is done', async () => {
    await using stage = new ResidentStage()
    await using runner = await runnerAt(await endpoint(stage), { cancelGraceMs: 300 })
    const run = runner.run({ role: 'deaf', task: '4000' })
    await begun(run)
    const since = performance.now()
    expect(await run.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
    expect(performance.now() - since).toBeLessThan(3_000)
    expect(await runner.run({ role: 'deaf', task: '1', limits: { acceptWarmMs: 100 } }).outcome).toMatchObject({
      code: 'BUSY',
    })
    expect(await runner.run({ role: 'deaf', task: '1', limits: { acceptWarmMs: 30_000 } }).outcome).toMatchObject({
      status: 'completed',
    })
  })

  test('one that does not answer has the run taken back, and nothing else is tried', async () => {
    await using stage = new ResidentStage()
    await using runner = await runnerAt(await endpoint(stage))
    const first = runner.run({ role: 'listens' })
    const pid = await (async () => {
      for await (const event of first) if (event.type === 'data') return Number(event.data)
      throw new Error('it ended')
    })()
    await first.send('enough')
    await first.outcome
    process.kill(pid, 'SIGSTOP')
    const run = runner.run({ role: 'deaf', task: '1', limits: { acceptWarmMs: 200 } })
    expect(await run.outcome).toEqual({ status: 'timeout', which: 'accept' })
    expect(run.status().attempts).toBe(1)
    process.kill(pid, 'SIGCONT')
  })

  test('what a runner that is gone had there is stopped: the next runner has the slot', async () => {
    await using stage = new ResidentStage()
    const remote = await endpoint(stage)
    const first = await runnerAt(remote)
    const run = first.run({ role: 'listens' })
    await begun(run)
    await first.close()
    expect(await run.outcome).toMatchObject({ status: 'cancelled' })
    await using second = await runnerAt(remote)
    expect(await second.run({ role: 'deaf', task: '1' }).outcome).toMatchObject({ status: 'completed' })
  })

  test('a certificate that is not there keeps it from starting, by the name of its flag', async () => {
    await using stage = new ResidentStage()
    const words = ['--listen', '127.0.0.1:0', '--token-file', stage.tokenFile, '--tls-key', stage.file('key', 'no key')]
    const ended = await stage.command('worker', file, ...words, '--tls-cert', '/nowhere/cert.pem').ended
    expect(ended).toMatchObject({ code: 2, stderr: expect.stringMatching(/--tls-cert/) })
    // Nor does a key without its certificate leave it listening in the clear.
    expect(await stage.command('worker', file, ...words).ended).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--tls-cert and --tls-key go together/),
    })
  })
})
