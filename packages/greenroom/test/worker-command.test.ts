import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { chmodSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Run } from '../src/index.ts'
import { createBroker, signToken } from '@greenroom/broker'
import { residentGrants } from '@greenroom/proto'
import type { Program } from './program.ts'
import { file, ready, ResidentStage, token } from './resident/stage.ts'

/** Who need not wait for the bus is gone within 2 s; asserted at three times that. */
const promptMs = 6_000

/** In which process a run of `work` or `spin` is. */
async function pidOf(run: Run<unknown>): Promise<number> {
  for await (const event of run) if (event.type === 'data') return Number(event.data)
  throw new Error(`it ended without a pid: ${JSON.stringify(await run.outcome)}`)
}

describe('greenroom worker --bus', { timeout: 60_000 }, () => {
  test('two members share the runs of a runner that could start nothing itself', async () => {
    await using stage = new ResidentStage()
    await stage.broker()
    const members = [stage.member(), stage.member('--label', 'gpu=big')]
    const addresses = await Promise.all(members.map(ready))
    await using runner = await stage.runner()
    const runs = [runner.run({ role: 'work', task: '500' }), runner.run({ role: 'work', task: '500' })]
    const pids = new Set(await Promise.all(runs.map(pidOf)))
    expect(pids.size).toBe(2)
    expect(new Set(runs.map((run) => run.status().worker?.address))).toEqual(new Set(addresses))
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({
      status: 'failed',
      code: 'POOL_FULL',
      retry: 'later',
    })
    for (const run of runs) expect((await run.outcome).status).toBe('completed')
    await using choosy = await stage.runner({ labels: { gpu: 'big' } })
    const chosen = choosy.run({ role: 'who' })
    expect((await chosen.outcome).status).toBe('completed')
    expect(chosen.status()).toMatchObject({ placement: { kind: 'pool' }, worker: { address: addresses[1] } })
    expect(runner.stats().processes).toBe(0)
  })

  test('a process that is killed is gone at once, and another one takes its place', async () => {
    await using stage = new ResidentStage()
    await stage.broker()
    const member = stage.member()
    const before = await ready(member)
    await using runner = await stage.runner({ maxWaitMs: 30_000 })
    const run = runner.run({ role: 'work', task: '60000' })
    const pid = await pidOf(run)
    process.kill(pid, 'SIGKILL')
    const killedAt = performance.now()
    // Its supervisor saw it end, and says so.
    expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: false })
    expect(performance.now() - killedAt).toBeLessThan(10_000)
    const next = runner.run({ role: 'who' })
    expect(await next.outcome).toMatchObject({ status: 'completed' })
    expect(next.status().worker?.address).not.toBe(before)
  })

  test('an idempotent run whose process is killed is done by another member', async () => {
    await using stage = new ResidentStage()
    await stage.broker()
    const members = [stage.member(), stage.member()]
    await Promise.all(members.map(ready))
    const retry = { attempts: 2, backoffMs: 1 }
    await using runner = await stage.runner({ maxWaitMs: 30_000 }, { idempotent: true, retry })
    const run = runner.run({ role: 'work', task: '3000' })
    const pids: number[] = []
    for await (const event of run) {
      if (event.type !== 'data') continue
      if (pids.push(Number(event.data)) === 1) process.kill(Number(event.data), 'SIGKILL')
    }
    expect(await run.outcome).toMatchObject({ status: 'completed', output: pids[1] })
    expect(run.status().attempts).toBe(2)
    expect(new Set(pids).size).toBe(2)
  })

  test('the first SIGTERM lets its run end and takes no other, then it leaves with 0', async () => {
    await using stage = new ResidentStage()
    await stage.broker()
    const member = stage.member()
    await ready(member)
    await using runner = await stage.runner()
    const run = runner.run({ role: 'work', task: '1500' })
    await pidOf(run)
    member.process.kill('SIGTERM')
    expect(await run.outcome).toMatchObject({ status: 'completed' })
    expect(await member.ended).toMatchObject({ code: 0 })
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_EMPTY' })
  })

  test('another SIGTERM ends its run in order, and it leaves with 0', async () => {
    await using stage = new ResidentStage()
    await stage.broker()
    const member = stage.member()
    await ready(member)
    await using runner = await stage.runner()
    const run = runner.run({ role: 'work', task: '60000' })
    await pidOf(run)
    member.process.kill('SIGTERM')
    await sleep(200)
    expect(run.status().phase).toBe('running')
    member.process.kill('SIGTERM')
    expect(await run.outcome).toEqual({ status: 'cancelled', reason: 'the worker was told to end' })
    expect(await member.ended).toMatchObject({ code: 0 })
  })

  test('it says when the bus is away and back; idle, the first SIGTERM does not wait for the bus', async () => {
    await using stage = new ResidentStage()
    const broker = async (listen: string): Promise<{ readonly program: Program; readonly url: string }> => {
      const at = ['--data', `${stage.path}/data`, '--listen', listen, '--token-file', stage.tokenFile]
      const program = stage.command('broker', ...at)
      const [, url = ''] = await program.line(/ready at (\S+)\n/)
      return { program, url }
    }
    const first = await broker('127.0.0.1:0')
    const member = stage.use(first.url).member()
    await ready(member)
    first.program.process.kill('SIGKILL')
    await member.error(new RegExp(`^greenroom: the connection to the bus was lost; .*${first.url} is back$`, 'm'))
    const second = await broker(new URL(first.url).host)
    await member.error(/^greenroom: the connection to the bus is back$/m)
    second.program.process.kill('SIGKILL')
    await member.error(/was lost;[^]*is back\n[^]*was lost;/)
    const told = performance.now()
    member.process.kill('SIGTERM')
    expect(await member.ended).toMatchObject({ code: 0 })
    console.log(`idle, it left ${(performance.now() - told).toFixed(0)} ms after the first signal`)
    expect(performance.now() - told).toBeLessThan(promptMs)
  })

  test.for([
    ['with a run', true],
    ['without one', false],
  ] as const)('the second SIGTERM does not wait for a bus that is silent: %s', async ([, withRun]) => {
    await using stage = new ResidentStage()
    const at = ['--data', `${stage.path}/data`, '--listen', '127.0.0.1:0', '--token-file', stage.tokenFile]
    const broker = stage.command('broker', ...at)
    const [, url = ''] = await broker.line(/ready at (\S+)\n/)
    const member = stage.use(url).member()
    await ready(member)
    if (withRun) await pidOf((await stage.runner()).run({ role: 'work', task: '60000' }))
    broker.process.kill('SIGSTOP')
    member.process.kill('SIGTERM')
    await sleep(2_500)
    expect(member.process.exitCode).toBeNull()
    const told = performance.now()
    member.process.kill('SIGTERM')
    expect(await member.ended).toMatchObject({ code: 0 })
    console.log(`ended ${(performance.now() - told).toFixed(0)} ms after the second signal`)
    expect(performance.now() - told).toBeLessThan(promptMs)
    broker.process.kill('SIGCONT')
  })

  test('a token of a word is enough for a member, and another one for a runner', async () => {
    await using stage = new ResidentStage()
    const keys = stage.file('keys', 'a key of this test, of thirty-two bytes at least')
    const [made, given] = await Promise.all(
      ['worker', 'runner'].map(async (role) => {
        const words = ['--key-file', keys, '--subject', 'test', '--role', role]
        const { stdout } = await stage.command('token', ...words).ended
        return stdout.trim()
      }),
    )
    if (made === undefined || given === undefined) throw new Error('two')
    const at = ['--data', `${stage.path}/signed`, '--listen', '127.0.0.1:0', '--token-key-file', keys]
    const [, url = ''] = await stage.command('broker', ...at).line(/ready at (\S+)\n/)
    const held = stage.file('held', made)
    const member = stage.command('worker', file, '--bus', url, '--role', 'crew', '--token-file', held)
    await ready(member)
    await using runner = await stage.use(url, given).runner({ maxWaitMs: 30_000 })
    const run = runner.run({ role: 'work', task: '60000' })
    // The supervisor may say that its worker is gone, and nobody else's.
    process.kill(await pidOf(run), 'SIGKILL')
    expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST' })
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ status: 'completed' })
  })

  test('a token that expires is renewed by its file; one that is not is warned of, and then named', async () => {
    await using stage = new ResidentStage()
    const key = 'a key of this test, of thirty-two bytes at least'
    // Whoever has no valid token is cut within half a second.
    const listening = { listen: { port: 0 }, token, tokenKeys: [key], limits: { pingMs: 500 } }
    await using broker = await createBroker(listening)
    const renew = async (): Promise<string> => {
      const content = { subject: 'crew', grants: residentGrants('crew'), expiresAt: Date.now() + 3_000 }
      return stage.file('short', await signToken(key, content))
    }
    const at = ['--bus', broker.url ?? '', '--role', 'crew', '--token-file', await renew()]
    const member = stage.command('worker', file, ...at)
    const address = await ready(member)
    expect(address).toMatch(/^resident\.crew\./)
    await using runner = await stage.use(broker.url ?? '').runner({ maxWaitMs: 30_000 })
    const began = Date.now()
    const run = runner.run({ role: 'work', task: '12000' })
    let isOver = false
    void run.outcome.then(() => (isOver = true))
    // The first one holds for 3 s, and 5 s are forgiven.
    while (!isOver) {
      await renew()
      await sleep(500)
    }
    expect(await run.outcome).toMatchObject({ status: 'completed' })
    expect(Date.now() - began).toBeGreaterThan(11_000)
    expect(run.status()).toMatchObject({ attempts: 1, worker: { address } })
    expect(member.stdout.split('\n')).toHaveLength(2)
    const { code, stderr } = await member.ended
    expect(code).toBe(1)
    const said = (verb: string): RegExp =>
      new RegExp(`greenroom: .*the token of --token-file \\S+short ${verb} at \\S+, and no newer one is there`)
    expect(stderr).toMatch(said('expires'))
    expect(stderr).toMatch(/^greenroom: UNAUTHORIZED: /m)
    expect(stderr).toMatch(said('expired'))
  })

  test('a wrong token in its file costs nothing: it goes on with the one it has, and takes the right one', async () => {
    await using stage = new ResidentStage()
    const [key, other] = [
      'a key of this test, of thirty-two bytes at least',
      'another key, of thirty-two bytes at least',
    ]
    const listening = { listen: { port: 0 }, token, tokenKeys: [key], limits: { pingMs: 500 } }
    await using broker = await createBroker(listening)
    const put = async (by: string, forMs: number, subject = 'crew'): Promise<string> => {
      const content = { subject, grants: residentGrants(subject), expiresAt: Date.now() + forMs }
      return stage.file('held', await signToken(by, content))
    }
    const began = Date.now()
    const at = ['--bus', broker.url ?? '', '--role', 'crew', '--token-file', await put(key, 12_000)]
    const member = stage.command('worker', file, ...at)
    const address = await ready(member)
    await using runner = await stage.use(broker.url ?? '').runner({ maxWaitMs: 30_000 })
    await put(other, 3_600_000)
    await member.error(/greenroom: the token of --token-file \S+held is not replaced: what is there is refused: /)
    // One of its own goes on with the token that holds, and one that is started now begins with it.
    const killed = runner.run({ role: 'work', task: '60000' })
    process.kill(await pidOf(killed), 'SIGKILL')
    expect(await killed.outcome).toMatchObject({ code: 'WORKER_LOST' })
    const next = runner.run({ role: 'who' })
    expect(await next.outcome).toMatchObject({ status: 'completed' })
    const after = next.status().worker?.address
    await put(key, 3_600_000, 'others')
    await member.error(/what is there is of the subject "others", not of "crew"/)
    await put(key, 3_600_000)
    // 5 s are forgiven.
    while (Date.now() - began < 19_000) await sleep(500)
    const last = runner.run({ role: 'who' })
    expect(await last.outcome).toMatchObject({ status: 'completed' })
    expect(last.status().worker?.address).toBe(after)
    expect(address).not.toBe(after)
    expect(member.process.exitCode).toBeNull()
  })

  test('plain ws to what may be another machine takes --insecure, for its supervisor and its worker', async () => {
    await using stage = new ResidentStage()
    const { port } = new URL(await stage.broker('0.0.0.0:0', '--insecure'))
    // It leads here, but does not say so.
    const at = ['--bus', `ws://0.0.0.0:${port}`, '--role', 'crew', '--token-file', stage.tokenFile]
    const refused = await stage.command('worker', file, ...at).ended
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/would show the token to the network/) })
    await ready(stage.command('worker', file, ...at, '--insecure'))
  })

  test('it has its own secrets and variables, and slots only as its executors allow', async () => {
    await using stage = new ResidentStage()
    await stage.broker()
    const secret = stage.file('key', 'hidden')
    vi.stubEnv('GIVEN', 'given')
    vi.stubEnv('OTHER', 'kept')
    onTestFinished(() => void vi.unstubAllEnvs())
    const member = stage.member('--secret', `KEY=${secret}`, '--env', 'GIVEN', '--slots', '4')
    await ready(member)
    await using runner = await stage.runner()
    expect(await runner.run({ role: 'knows' }).outcome).toMatchObject({ output: ['hidden', 'given', null] })
    const run = runner.run({ role: 'work', task: '500' })
    await pidOf(run)
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_FULL' })
  })

  test('secrets and its token are what files hold that are closed to other users, and no words', async () => {
    await using stage = new ResidentStage()
    const open = stage.file('open', 'hidden')
    chmodSync(open, 0o644)
    const at = ['--bus', 'ws://127.0.0.1:1', '--role', 'crew', '--token-file']
    const ended = await Promise.all(
      [
        [...at, open],
        [...at, stage.tokenFile, '--secret', `KEY=${open}`],
        [...at, stage.tokenFile, '--secret', 'KEY=hidden'],
      ].map((args) => stage.command('worker', file, ...args).ended),
    )
    expect(ended.map(({ code }) => code)).toEqual([2, 2, 2])
    expect(ended.map(({ stderr }) => stderr)).toEqual([
      expect.stringMatching(/--token-file: other users may reach \S+open: chmod 600 it/),
      expect.stringMatching(/--secret: other users may reach \S+open: chmod 600 it/),
      expect.stringMatching(/--secret: cannot read hidden: ENOENT/),
    ])
  })

  test('a main loop that is busy for longer than a lost connection may last is not taken for a death', async () => {
    await using stage = new ResidentStage()
    const broker = await createBroker({
      listen: { port: 0 },
      token,
      partitionGraceMs: 1_000,
      limits: { pingMs: 200 },
    })
    await using _broker = broker
    await using watcher = await broker.bus.attach({ address: 'watcher', incarnation: 'w1', lifetime: 'named' })
    const states: string[] = []
    watcher.watch('pool.crew', ({ state }) => states.push(state))
    await using runner = await stage.use(broker.url ?? '').runner({ maxWaitMs: 10_000 })
    await ready(stage.member())
    const run = runner.run({ role: 'spin', task: '5000' })
    const pid = await pidOf(run)
    expect(await run.outcome).toMatchObject({ status: 'completed', output: pid })
    expect(new Set(states)).toEqual(new Set(['attached']))
    expect(run.status().attempts).toBe(1)
  })

  test('what keeps it from ever being ready ends it with 1, and says why; bad flags with 2', async () => {
    await using stage = new ResidentStage()
    const url = await stage.broker()
    const wrong = stage.file('wrong', 'another-token-of-length')
    const nothing = file.replace('worker.ts', 'nothing.ts')
    const at = ['--bus', url, '--role', 'crew', '--token-file']
    const said = async (...args: string[]) => {
      const { code, stderr } = await stage.command('worker', ...args).ended
      return { code, stderr }
    }
    expect(await said(file, ...at, wrong)).toEqual({
      code: 1,
      stderr: expect.stringMatching(/does not know this token/),
    })
    expect(await said(nothing, ...at, stage.tokenFile)).toEqual({
      code: 1,
      stderr: expect.stringMatching(/does its file call serveWorker\? nothing to serve here/),
    })
    expect(await said('missing.ts', ...at, stage.tokenFile)).toEqual({
      code: 2,
      stderr: expect.stringMatching(/the worker file: cannot read missing\.ts: ENOENT/),
    })
    expect(await said(file, '--bus', url, '--token-file', stage.tokenFile)).toEqual({
      code: 2,
      stderr: expect.stringMatching(/--role must name the pool/),
    })
    expect(await said(file, '--listen', 'unix:/nowhere/bus', '--role', 'crew', '--token-file', wrong)).toEqual({
      code: 2,
      stderr: expect.stringMatching(/--role goes with --bus, not with --listen/),
    })
    expect(await said(file, ...at, wrong, '--token-key-file', wrong)).toEqual({
      code: 2,
      stderr: expect.stringMatching(/--token-key-file goes with --listen, not with --bus/),
    })
    expect(await said(file, ...at, stage.tokenFile, '--label', 'gpu')).toEqual({
      code: 2,
      stderr: expect.stringMatching(/--label is NAME=VALUE, not "gpu"/),
    })
  })
})
