/** Workers that stand still: proof that nothing runs twice, and that what can be ended is ended. */
import { createBroker, type Broker } from '@greenroom/broker'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createRunner, type Launcher, type RoleOptions, type Runner } from '../src/index.ts'
import { entryLauncher } from '../src/platform/process-launcher.ts'
import { firstData, isAlive, temporaryFolder, testRunner, until, worker } from './fixtures/setup.ts'

const token = 'a-token-of-some-length'

/** A launcher whose processes cannot be ended from outside, as in a container that does not answer. */
function deafLauncher(): Launcher & { readonly pids: number[]; release(): void } {
  const standard = entryLauncher(worker.url)
  const pids: number[] = []
  const launched: { kill(signal: 'SIGKILL'): void }[] = []
  return {
    pids,
    release: () => {
      for (const one of launched) one.kill('SIGKILL')
    },
    launch(spec) {
      const process = standard.launch(spec)
      pids.push(process.pid ?? 0)
      launched.push(process)
      return { ...process, kill: () => undefined }
    },
  }
}

/** A role that leaves a mark for each execution. */
function marking(folder: string, launcher: Launcher): Promise<Runner> {
  process.env['WORKER_MARK'] = join(folder, 'mark')
  const limits = { acceptColdMs: 1_500, acceptWarmMs: 300 }
  const roles: Record<string, RoleOptions> = { mark: { executor: 'mark', env: ['WORKER_MARK'], limits } }
  return createRunner({ worker: launcher, roles, dataDir: null, quiet: true })
}

function marks(folder: string): string[] {
  const path = join(folder, 'mark')
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
}

test('a worker that was stopped before its claim, and goes on after the second attempt, executes nothing', async () => {
  using folder = temporaryFolder()
  const launcher = deafLauncher()
  {
    await using runner = await marking(folder.path, launcher)
    const first = runner.run({ role: 'mark', task: 'first' })
    await first.outcome
    const [pid = 0] = launcher.pids
    process.kill(pid, 'SIGSTOP')
    const second = runner.run({ role: 'mark', task: 'second' })
    expect(await second.outcome).toMatchObject({ status: 'completed' })
    expect(second.status()).toMatchObject({ attempts: 2, worker: { warm: false } })
    process.kill(pid, 'SIGCONT')
    // It finds that its assignment was withdrawn. Had it not, it would be done long before this.
    await sleep(1_000)
    expect(marks(folder.path)).toEqual([`first ${pid}`, `second ${launcher.pids[1]}`])
    launcher.release()
  }
})

test('a warm worker has acceptWarmMs to accept, one that was just started acceptColdMs', async () => {
  const launcher = deafLauncher()
  await using runner = await createRunner({
    worker: launcher,
    roles: { echo: { executor: 'echo', limits: { acceptColdMs: 60_000, acceptWarmMs: 1 } } },
    dataDir: null,
    quiet: true,
  })
  // A process cannot start within a millisecond.
  const cold = runner.run({ role: 'echo', task: 'cold' })
  expect(await cold.outcome).toMatchObject({ status: 'completed' })
  expect(cold.status()).toMatchObject({ attempts: 1, worker: { warm: false } })
  process.kill(launcher.pids[0] ?? 0, 'SIGSTOP')
  const since = performance.now()
  const warm = runner.run({ role: 'echo', task: 'warm' })
  expect(await warm.outcome).toMatchObject({ status: 'completed' })
  expect(warm.status()).toMatchObject({ attempts: 2, worker: { warm: false } })
  expect(performance.now() - since).toBeLessThan(30_000)
  launcher.release()
}, 120_000)

test('a worker that was stopped while it started, and goes on after the second attempt, executes nothing', async () => {
  using folder = temporaryFolder()
  const launcher = deafLauncher()
  const standard = launcher.launch.bind(launcher)
  const stopping: Launcher = {
    launch(spec) {
      const process_ = standard(spec)
      if (launcher.pids.length === 1) process.kill(process_.pid ?? 0, 'SIGSTOP')
      return process_
    },
  }
  await using runner = await marking(folder.path, stopping)
  const run = runner.run({ role: 'mark', task: 'once' })
  expect(await run.outcome).toMatchObject({ status: 'completed' })
  expect(run.status().attempts).toBe(2)
  const [stopped = 0, second] = launcher.pids
  process.kill(stopped, 'SIGCONT')
  await sleep(1_000)
  expect(marks(folder.path)).toEqual([`once ${second}`])
  launcher.release()
})

test('a worker that is stopped after its claim is ended by its spawner: WORKER_LOST, and it cannot run any more', async () => {
  using folder = temporaryFolder()
  await using broker: Broker = await createBroker({
    dir: join(folder.path, 'data'),
    listen: { socket: join(folder.path, 'bus.sock') },
    token,
    partitionGraceMs: 300,
    limits: { pingMs: 200 },
  })
  await using runner = await testRunner({ bus: { url: broker.url ?? '', token }, partitionGraceMs: 300 })
  const run = runner.run({ role: 'wait' })
  const pid = Number(await firstData(run, 'pid'))
  const before = performance.now()
  process.kill(pid, 'SIGSTOP')
  expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: false })
  const ms = Math.round(performance.now() - before)
  const bound = 3 * 200 + 300
  console.log(`a stopped worker was ended after ${ms} ms (three pings and the grace: ${bound})`)
  expect(ms).toBeLessThan(3 * bound)
  await until(() => !isAlive(pid))
  expect(run.status().attempts).toBe(1)
})

test('a worker whose executor never lets go of its loop is ended by its spawner', async () => {
  await using runner = await testRunner({ partitionGraceMs: 600 })
  const run = runner.run({ role: 'spin' })
  const pids = await firstData(run, 'pids')
  expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: false })
  for (const pid of Array.isArray(pids) ? pids : []) await until(() => !isAlive(Number(pid)))
})

test('a runner that stands still for longer than every deadline kills nothing by mistake', async () => {
  using folder = temporaryFolder()
  const { fork } = await import('node:child_process')
  const host = fork(new URL('fixtures/suspended-program.ts', import.meta.url), [folder.path], {
    execArgv: ['--conditions=@greenroom/source'],
  })
  const said: unknown[] = []
  host.on('message', (message) => said.push(message))
  await until(() => said.includes('running'), 'the run', 15_000)
  host.kill('SIGSTOP')
  await sleep(2_500)
  host.kill('SIGCONT')
  const end = await until(() => said.find((message) => typeof message === 'object'), 'the outcome', 15_000)
  host.kill('SIGKILL')
  expect(end).toMatchObject({ status: 'completed', output: 60 })
}, 40_000)
