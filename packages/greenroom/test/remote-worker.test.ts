import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { createServer, connect, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createRunner, type AnyRunner, type RemotePlacement, type Run, type RunnerOptions } from '../src/index.ts'
import type { Program } from './program.ts'
import { file, ResidentStage, token, unusable } from './resident/stage.ts'

/** Makes a certificate for this machine. */
function certificate(stage: ResidentStage, name: string): { readonly cert: string; readonly key: string } {
  const [cert, key] = [join(stage.path, `${name}.pem`), join(stage.path, `${name}.key`)]
  const what = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
  const who = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', ...what, ...who, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  chmodSync(key, 0o600)
  return { cert, key }
}

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
    const { cert, key } = certificate(stage, 'own')
    const remote = await urlOf(listen(stage, '127.0.0.1:0', '--tls-cert', cert, '--tls-key', key))
    expect(remote).toMatch(/^wss:\/\//)
    const ca = readFileSync(cert, 'utf8')
    await using runner = await runnerAt({ remote, token: () => token, ca })
    const run = runner.run({ role: 'who' })
    expect(await run.outcome).toMatchObject({ status: 'completed' })
    expect(run.status()).toMatchObject({ placement: { kind: 'remote', host: hostname() }, worker: { warm: true } })
    expect(await runner.run({ role: 'other' }).outcome).toMatchObject({ code: 'UNKNOWN_EXECUTOR', retry: 'never' })
    await using strange = await runnerAt(
      { remote, token, ca: readFileSync(certificate(stage, 'other').cert, 'utf8') },
      { limits: { acceptWarmMs: 2_000 } },
    )
    expect(await strange.run({ role: 'who' }).outcome).toMatchObject({
      status: 'failed',
      message: expect.stringMatching(/certificate/),
    })
    await using wrong = await runnerAt({ remote, token: 'a-wrong-token-of-length', ca })
    expect(await wrong.run({ role: 'who' }).outcome).toMatchObject({ code: 'UNAUTHORIZED', retry: 'never' })
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
    expect(await long.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
    expect(await two.run({ role: 'who' }).outcome).toMatchObject({ status: 'completed' })
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
