import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { FabricFolder } from '@greenroom/runner/placement'
import { describe, expect, test } from 'vitest'
import { createRunner, type AnyRunner, type RunnerOptions } from '../src/index.ts'
import { start, type Program } from './program.ts'
import { file, ResidentStage, unusable } from './resident/stage.ts'

const fabricOf = (stage: ResidentStage): string => join(stage.path, 'fabric')
const worker = (stage: ResidentStage, ...more: string[]): Program =>
  stage.command('worker', file, '--fabric', fabricOf(stage), '--role', 'crew', ...more)
const ready = async (program: Program): Promise<string> =>
  (await program.line(/ready at ws\+unix:\/\/(\S+)\.sock in crew as/))[1] ?? ''
const idsIn = (stage: ResidentStage): string[] =>
  readdirSync(fabricOf(stage)).flatMap((name) => (name.endsWith('.json') ? name.slice(0, -5) : []))

function runnerAt(stage: ResidentStage, options: Partial<RunnerOptions> = {}, maxWaitMs = 0): Promise<AnyRunner> {
  const placement = { pool: 'crew', fabric: fabricOf(stage), maxWaitMs }
  const roles = {
    who: { executor: 'who', placement },
    work: { executor: 'work', placement },
    still: { executor: 'still', placement },
  }
  return createRunner({ worker: unusable, roles, dataDir: null, quiet: true, ...options })
}

async function pidOf(run: ReturnType<AnyRunner['run']>): Promise<number> {
  for await (const event of run) if (event.type === 'data') return Number(event.data)
  throw new Error(`it ended without a pid: ${JSON.stringify(await run.outcome)}`)
}

/** Waits until a process is gone. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return
    await sleep(20)
  }
}

describe('greenroom worker --fabric', { timeout: 90_000 }, () => {
  test('two share the runs of a runner without any broker; one leaves in order, and nothing of it is left', async () => {
    await using stage = new ResidentStage()
    const [first, second] = [worker(stage), worker(stage, '--label', 'gpu=big')]
    await Promise.all([ready(first), ready(second)])
    expect(statSync(fabricOf(stage)).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(fabricOf(stage)))
      expect(statSync(join(fabricOf(stage), name)).mode & 0o777).toBe(0o600)
    const { records, faults } = new FabricFolder(fabricOf(stage)).read()
    expect(faults).toEqual([])
    expect(records.map(({ role, host, labels }) => ({ role, host, labels }))).toEqual(
      expect.arrayContaining([
        { role: 'crew', host: hostname(), labels: {} },
        { role: 'crew', host: hostname(), labels: { gpu: 'big' } },
      ]),
    )
    await using runner = await runnerAt(stage)
    const runs = [1, 2].map(() => runner.run({ role: 'work', task: '2000' }))
    const pids = await Promise.all(runs.map(pidOf))
    expect(new Set(pids).size).toBe(2)
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_FULL', retry: 'later' })
    first.process.kill('SIGTERM')
    for (const run of runs) {
      expect(await run.outcome).toMatchObject({ status: 'completed' })
      expect(run.status()).toMatchObject({ placement: { kind: 'fabric', host: hostname() }, worker: { warm: true } })
    }
    expect(await first.ended).toMatchObject({ code: 0 })
    expect(idsIn(stage)).toHaveLength(1)
    expect(readdirSync(fabricOf(stage))).toHaveLength(2)
    for (let count = 0; count < 3; count += 1)
      expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ status: 'completed' })
    second.process.kill('SIGTERM')
    expect(await second.ended).toMatchObject({ code: 0 })
    expect(readdirSync(fabricOf(stage))).toEqual([])
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_EMPTY' })
  })

  test('one that is told to end withdraws its record at once, though its run goes on', async () => {
    await using stage = new ResidentStage()
    const program = worker(stage)
    await ready(program)
    await using runner = await runnerAt(stage)
    const run = runner.run({ role: 'work', task: '60000' })
    await pidOf(run)
    program.process.kill('SIGTERM')
    await expect.poll(() => idsIn(stage), { timeout: 20_000 }).toEqual([])
    expect(run.status().phase).toBe('running')
    expect(await run.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
    expect(await program.ended).toMatchObject({ code: 0 })
  })

  test('one that is killed takes its worker along and loses its run; its record is passed over, and another worker has the next', async () => {
    await using stage = new ResidentStage()
    const first = worker(stage)
    await ready(first)
    await using runner = await runnerAt(stage, { partitionGraceMs: 2_000 })
    const run = runner.run({ role: 'work', task: '60000' })
    const pid = await pidOf(run)
    first.process.kill('SIGKILL')
    expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: true })
    expect(run.status().attempts).toBe(1)
    await gone(pid)
    expect(idsIn(stage)).toHaveLength(1)
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_EMPTY' })
    await ready(worker(stage))
    await using patient = await runnerAt(stage, {}, 20_000)
    for (let count = 0; count < 3; count += 1)
      expect(await patient.run({ role: 'who' }).outcome).toMatchObject({ status: 'completed' })
  })

  test('a process that is killed is gone at once, and another one takes its place at the same endpoint', async () => {
    await using stage = new ResidentStage()
    await ready(worker(stage))
    await using runner = await runnerAt(stage, {}, 30_000)
    const run = runner.run({ role: 'work', task: '60000' })
    process.kill(await pidOf(run), 'SIGKILL')
    const killedAt = performance.now()
    expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: false })
    expect(performance.now() - killedAt).toBeLessThan(10_000)
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ status: 'completed' })
  })

  test('that has a run of a runner which was killed stops it for the next life of that, which asks nobody else', async () => {
    await using stage = new ResidentStage()
    await ready(worker(stage))
    await ready(worker(stage))
    const { dataDir, runId } = await killedRunner(stage, '60000')
    await using runner = await runnerAt(stage, { dataDir })
    const [run] = await runner.resume()
    expect(run?.id).toBe(runId)
    expect(await run?.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: false })
    expect(run?.status().attempts).toBe(1)
  })

  test('one with a name is the same after a restart, and there is only one of it', async () => {
    await using stage = new ResidentStage()
    const first = worker(stage, '--id', 'gpu-1')
    expect(await ready(first)).toBe(join(fabricOf(stage), 'gpu-1'))
    await using runner = await runnerAt(stage, {}, 20_000)
    const before = await runner.run({ role: 'who' }).outcome
    const { token } = JSON.parse(readFileSync(join(fabricOf(stage), 'gpu-1.json'), 'utf8'))
    first.process.kill('SIGKILL')
    await first.ended
    const again = worker(stage, '--id', 'gpu-1')
    await ready(again)
    expect(JSON.parse(readFileSync(join(fabricOf(stage), 'gpu-1.json'), 'utf8'))).toMatchObject({ token })
    const twice = await worker(stage, '--id', 'gpu-1').ended
    expect(twice).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/--fabric: .*gpu-1\.data belongs to process \d+/),
    })
    const after = await runner.run({ role: 'who' }).outcome
    expect([before.status, after.status]).toEqual(['completed', 'completed'])
    expect(after).not.toEqual(before)
    expect(idsIn(stage)).toEqual(['gpu-1'])
  })

  test('a last word that was stored is the outcome, though runner and worker were killed since', async () => {
    await using stage = new ResidentStage()
    const first = worker(stage, '--id', 'only')
    await ready(first)
    const { dataDir, runId } = await killedRunner(stage, '700')
    await sleep(2_500)
    first.process.kill('SIGKILL')
    await first.ended
    await ready(worker(stage, '--id', 'only'))
    await using runner = await runnerAt(stage, { dataDir })
    const [run] = await runner.resume()
    expect(run?.id).toBe(runId)
    expect(await run?.outcome).toMatchObject({ status: 'completed', output: expect.any(Number) })
  })

  test('a run of an earlier life whose worker is not there any more is unknown, and not done again', async () => {
    await using stage = new ResidentStage()
    const first = worker(stage)
    await ready(first)
    const { dataDir } = await killedRunner(stage, '5000', 'still')
    first.process.kill('SIGKILL')
    await first.ended
    await ready(worker(stage))
    await using runner = await runnerAt(stage, { dataDir, partitionGraceMs: 2_000 })
    const [run] = await runner.resume()
    expect(await run?.outcome).toMatchObject({ status: 'failed', code: 'OUTCOME_UNKNOWN', mayStillRun: true })
    expect(run?.status().attempts).toBe(1)
  })

  test('what cannot be is refused, with 2 and the flag', async () => {
    await using stage = new ResidentStage()
    const fabric = fabricOf(stage)
    const open = join(stage.path, 'open')
    mkdirSync(open)
    chmodSync(open, 0o755)
    const long = join(stage.path, 'x'.repeat(100))
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['--fabric', fabric], /--role must name the pool/],
      [['--fabric', fabric, '--role', 'no name'], /--role: "no name" is no name/],
      [
        ['--fabric', fabric, '--role', 'crew', '--token-file', stage.tokenFile],
        /--token-file goes with --bus, not with --fabric/,
      ],
      [['--fabric', fabric, '--role', 'crew', '--id', '../crew'], /--fabric: "\.\.\/crew" is no id/],
      [['--fabric', fabric, '--role', 'crew', '--data', 'data'], /--data goes with --id/],
      [['--fabric', open, '--role', 'crew'], /--fabric: other users may reach .*: chmod 700 it/],
      [['--fabric', long, '--role', 'crew'], /longer than the path of a socket may be/],
      [['--fabric', fabric, '--listen', '127.0.0.1:0'], /one of --bus, .*--listen, .*--fabric/],
      [
        ['--listen', '127.0.0.1:0', '--token-file', stage.tokenFile, '--id', 'a'],
        /--id goes with --fabric, not with --listen/,
      ],
    ]
    const said = cases.map(async ([flags, message]) => {
      const { code, stderr } = await stage.command('worker', file, ...flags).ended
      return { code, stderr, message }
    })
    for (const { code, stderr, message } of await Promise.all(said)) {
      expect(stderr).toMatch(message)
      expect(code).toBe(2)
    }
    expect(existsSync(fabric) ? readdirSync(fabric) : []).toEqual([])
  })
})

/** A runner's program that was killed while it had a run, which takes so many milliseconds. */
async function killedRunner(
  stage: ResidentStage,
  task: string,
  role = 'work',
): Promise<{ dataDir: string; runId: string }> {
  const dataDir = join(stage.path, 'runner')
  const program = fileURLToPath(new URL('resident/fabric-program.ts', import.meta.url))
  await using runner = start(program, [dataDir, fabricOf(stage), task, role], { cwd: stage.path })
  const [, runId = ''] = await runner.line(/executing (\S+)\n/)
  runner.process.kill('SIGKILL')
  await runner.ended
  return { dataDir, runId }
}
