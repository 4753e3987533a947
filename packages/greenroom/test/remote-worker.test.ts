import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer, connect, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectBus } from '@greenroom/bus'
import { codeOf } from '@greenroom/proto'
import { describe, expect, test } from 'vitest'
import { createRunner, type AnyRunner, type RemotePlacement, type Run, type RunnerOptions } from '../src/index.ts'
import { makeCertificate } from './certificate.ts'
import type { Program } from './program.ts'
import { file, ResidentStage, token, unusable } from './resident/stage.ts'

const listen = (stage: ResidentStage, address: string, ...more: string[]): Program =>
  stage.command('worker', file, '--listen', address, '--token-file', stage.tokenFile, ...more)

const urlOf = async (program: Program): Promise<string> => (await program.line(/ready at (\S+) in resident/))[1] ?? ''

function runnerAt(placement: RemotePlacement, options: Partial<RunnerOptions> = {}): Promise<AnyRunner> {
  const role = (executor: string) => ({ executor, placement })
  const roles = { who: role('who'), work: role('work'), other: role('other') }
  return createRunner({ worker: unusable, roles, dataDir: null, quiet: true, ...options })
}

async function pidOf(run: Run<unknown>): Promise<number> {
  for await (const event of run) if (event.type === 'data') return Number(event.data)
  throw new Error(`it ended without a pid: ${JSON.stringify(await run.outcome)}`)
}

/** All that is in a folder, as text. */
function stored(dir: string): string {
  return readdirSync(dir)
    .map((name) => readFileSync(join(dir, name), 'latin1'))
    .join('')
}

/** A wire to a port that can be cut and mended. */
async function wire(port: number) {
  const open = new Set<Socket>()
  let isCut = false
  const server = createServer((client) => {
    if (isCut) return client.destroy()
    const target = connect(port, '127.0.0.1')
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      open.add(one)
      one.on('error', () => undefined).on('close', () => other.destroy())
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const at = server.address()
  const cut = (): void => {
    isCut = true
    for (const socket of open) socket.destroy()
  }
  return {
    url: `ws://127.0.0.1:${typeof at === 'object' && at !== null ? at.port : 0}`,
    cut,
    mend: () => (isCut = false),
    [Symbol.dispose]() {
      cut()
      server.close()
    },
  }
}

describe('greenroom worker --listen', { timeout: 90_000 }, () => {
  test('over wss with a pinned authority it has the runs of a runner that could start nothing itself', async () => {
    await using stage = new ResidentStage()
    const { cert, key } = makeCertificate(stage.path, 'own')
    const remote = await urlOf(listen(stage, '127.0.0.1:0', '--tls-cert', cert, '--tls-key', key))
    expect(remote).toMatch(/^wss:\/\//)
    const ca = readFileSync(cert, 'utf8')
    await using runner = await runnerAt({ remote, token: () => token, ca })
    const run = runner.run({ role: 'who' })
    expect(await run.outcome).toMatchObject({ status: 'completed' })
    expect(run.status()).toMatchObject({ placement: { kind: 'remote', host: hostname() }, worker: { warm: true } })
    expect(await runner.run({ role: 'other' }).outcome).toMatchObject({ code: 'UNKNOWN_EXECUTOR', retry: 'never' })
    await using strange = await runnerAt(
      { remote, token, ca: readFileSync(makeCertificate(stage.path, 'other').cert, 'utf8') },
      { limits: { acceptWarmMs: 2_000 } },
    )
    expect(await strange.run({ role: 'who' }).outcome).toMatchObject({
      status: 'failed',
      message: expect.stringMatching(/certificate/),
    })
    await using wrong = await runnerAt({ remote, token: 'a-wrong-token-of-length', ca })
    expect(await wrong.run({ role: 'who' }).outcome).toMatchObject({ code: 'UNAUTHORIZED', retry: 'never' })
  })

  test('its certificate is exchanged without a restart: what stands goes on, what comes sees the new one', async () => {
    await using stage = new ResidentStage()
    const [own, next] = [makeCertificate(stage.path, 'own'), makeCertificate(stage.path, 'next')]
    const program = listen(stage, '127.0.0.1:0', '--tls-cert', own.cert, '--tls-key', own.key)
    const remote = await urlOf(program)
    const ca = readFileSync(own.cert, 'utf8')
    const newer = readFileSync(next.cert, 'utf8')
    await using runner = await runnerAt({ remote, token, ca })
    const run = runner.run({ role: 'work', task: '8000' })
    const pid = await pidOf(run)
    // As whoever renews them: one file after the other, each at once.
    renameSync(next.key, own.key)
    renameSync(next.cert, own.cert)
    await program.error(/certificate read again/)
    await using late = await runnerAt({ remote, token, ca: newer })
    const second = late.run({ role: 'who', limits: { acceptWarmMs: 60_000 } })
    expect(await run.outcome).toMatchObject({ status: 'completed', output: pid })
    expect(await second.outcome).toMatchObject({ status: 'completed', output: pid })
    await using old = await runnerAt({ remote, token, ca }, { limits: { acceptWarmMs: 2_000 } })
    expect(await old.run({ role: 'who' }).outcome).toMatchObject({ message: expect.stringMatching(/certificate/) })
    writeFileSync(own.cert, 'no certificate')
    await program.error(/certificate not taken/)
    expect(await late.run({ role: 'who' }).outcome).toMatchObject({ status: 'completed', output: pid })
  })

  test('runners of different subjects use one endpoint, and neither sees, takes or names what is the other’s', async () => {
    await using stage = new ResidentStage()
    const keys = stage.file('keys', 'a key of this test, of thirty-two bytes at least')
    const program = stage.command('worker', file, '--listen', '127.0.0.1:0', '--token-key-file', keys)
    const remote = await urlOf(program)
    const [alice, bob] = await Promise.all(
      ['alice', 'bob'].map(async (subject) => {
        const words = ['--key-file', keys, '--subject', subject, '--role', 'runner']
        return (await stage.command('token', ...words).ended).stdout.trim()
      }),
    )
    if (alice === undefined || bob === undefined) throw new Error('two')
    await using one = await runnerAt({ remote, token: alice })
    await using two = await runnerAt({ remote, token: bob })
    const run = one.run({ role: 'work', task: '60000' })
    const pid = await pidOf(run)
    // What it is called only an operator can know: it is read from where it is stored.
    const mailbox = /runner\.alice\.[\w-]+/.exec(stored(join(stage.path, '.greenroom-worker')))?.[0] ?? ''
    expect(mailbox).not.toBe('')
    await using bus = connectBus({ url: remote, token: bob })
    const other = { incarnation: 'i', lifetime: 'named' } as const
    await expect(bus.attach({ ...other, address: mailbox })).rejects.toMatchObject({ code: 'FORBIDDEN' })
    const errors: unknown[] = []
    const onError = (error: unknown): void => void errors.push(codeOf(error))
    await using peer = await bus.attach({ ...other, address: 'runner.bob.other', onError })
    const seen: unknown[] = []
    peer.watch(mailbox, (change) => seen.push(change))
    const payload = new Uint8Array()
    await expect(peer.send({ to: mailbox, id: 'm', kind: 'terminal', payload })).rejects.toMatchObject({
      code: 'FORBIDDEN',
    })
    await expect(peer.revoke({ to: mailbox, id: 'm' })).rejects.toMatchObject({ code: 'FORBIDDEN' })
    await expect(peer.fence({ address: mailbox, incarnation: 'i' })).rejects.toMatchObject({ code: 'FORBIDDEN' })
    expect([errors, seen]).toEqual([['FORBIDDEN'], []])
    expect(await run.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
    expect(await two.run({ role: 'who' }).outcome).toMatchObject({ status: 'completed', output: pid })
    // Nobody has a plain one.
    await using plain = await runnerAt({ remote, token })
    expect(await plain.run({ role: 'who' }).outcome).toMatchObject({ code: 'UNAUTHORIZED' })
  })

  test('one that is not there, or busy, is waited for as long as an acceptance may take; then it is said by name', async () => {
    await using stage = new ResidentStage()
    await using lost = await runnerAt({ remote: 'ws://127.0.0.1:1', token }, { limits: { acceptWarmMs: 500 } })
    const run = lost.run({ role: 'who' })
    expect(await run.outcome).toMatchObject({
      code: 'CONNECT_FAILED',
      retry: 'later',
      message: expect.stringMatching(/ws:\/\/127\.0\.0\.1:1.*ECONNREFUSED/),
    })
    expect(run.status().placement).toEqual({ kind: 'remote', host: '127.0.0.1' })
    const remote = await urlOf(listen(stage, '127.0.0.1:0'))
    const runners = [await runnerAt({ remote, token }), await runnerAt({ remote, token })] as const
    await using one = runners[0]
    await using two = runners[1]
    const long = one.run({ role: 'work', task: '60000' })
    await pidOf(long)
    expect(await two.run({ role: 'who', limits: { acceptWarmMs: 300 } }).outcome).toMatchObject({
      code: 'BUSY',
      retry: 'later',
    })
    const patient = two.run({ role: 'who', limits: { acceptWarmMs: 30_000 } })
    await expect.poll(() => two.stats().executing, { timeout: 10_000 }).toBe(1)
    expect(await long.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
    expect(await patient.outcome).toMatchObject({ status: 'completed' })
  })

  test('one that is restarted in mid-run lost it, tells so, and has the next', async () => {
    await using stage = new ResidentStage()
    const first = listen(stage, '127.0.0.1:0')
    const remote = await urlOf(first)
    await using runner = await runnerAt({ remote, token })
    const run = runner.run({ role: 'work', task: '60000' })
    await pidOf(run)
    first.process.kill('SIGKILL')
    await first.ended
    await urlOf(listen(stage, new URL(remote).host))
    expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: true })
    expect(run.status().attempts).toBe(1)
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ status: 'completed' })
  })

  test('what its worker had stored before the restart is the outcome', async () => {
    await using stage = new ResidentStage()
    const first = listen(stage, '127.0.0.1:0')
    const remote = await urlOf(first)
    using line = await wire(Number(new URL(remote).port))
    await using runner = await runnerAt({ remote: line.url, token })
    const run = runner.run({ role: 'work', task: '500' })
    const pid = await pidOf(run)
    line.cut()
    await sleep(2_000)
    first.process.kill('SIGKILL')
    await first.ended
    await urlOf(listen(stage, new URL(remote).host))
    line.mend()
    expect(await run.outcome).toMatchObject({ status: 'completed', output: pid })
  })

  test('one that was not reached for longer than half of the grace, and had nothing to do, has the next run all the same', async () => {
    await using stage = new ResidentStage()
    const remote = await urlOf(listen(stage, '127.0.0.1:0'))
    using line = await wire(Number(new URL(remote).port))
    const options = { partitionGraceMs: 1_000, limits: { acceptWarmMs: 5_000 } }
    await using runner = await runnerAt({ remote: line.url, token }, options)
    const first = await runner.run({ role: 'who' }).outcome
    line.cut()
    await sleep(1_000)
    line.mend()
    expect(await runner.run({ role: 'who' }).outcome).toEqual(first)
  })

  test('one that is reached again within half of the grace has lost nothing', async () => {
    await using stage = new ResidentStage()
    const remote = await urlOf(listen(stage, '127.0.0.1:0'))
    using line = await wire(Number(new URL(remote).port))
    await using runner = await runnerAt({ remote: line.url, token }, { partitionGraceMs: 6_000 })
    const run = runner.run({ role: 'work', task: '5000' })
    await pidOf(run)
    line.cut()
    await sleep(100)
    line.mend()
    expect(await run.outcome).toMatchObject({ status: 'completed' })
  })

  test('one that does not come back has lost its run when the grace is over', async () => {
    await using stage = new ResidentStage()
    const program = listen(stage, '127.0.0.1:0')
    await using runner = await runnerAt({ remote: await urlOf(program), token }, { partitionGraceMs: 1_000 })
    const run = runner.run({ role: 'work', task: '60000' })
    await pidOf(run)
    program.process.kill('SIGKILL')
    expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: true })
  })
})
