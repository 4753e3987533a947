import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeMessage, workerGrants } from '@greenroom/proto'
import { describe, expect, test } from 'vitest'
import { openStage, startProcess } from './worker-process.ts'

/** A document that is refused is refused within 2 s; asserted at three times that. */
const refusalBoundMs = 6_000
/** An orphan is gone within 2 s; asserted at three times that. */
const orphanBoundMs = 6_000
/** What has no grace is a matter of milliseconds; asserted at less than the shortest grace that anybody would mean. */
const atOnceMs = 4_000
const maxBytes = 8 * 1024 * 1024

const valid = {
  version: 1,
  bus: { url: 'ws://127.0.0.1:1', token: 'hush-hush-hush' },
  address: 'worker.1',
  incarnation: 'i1',
  role: 'r',
  executors: ['echo'],
  secrets: { key: 'hush-hush-hush' },
}

describe('a worker file', () => {
  test('that was not spawned as a worker does nothing', async () => {
    await using worker = startProcess('', [])
    expect(await worker.ended).toMatchObject({ code: 0, stdout: '', stderr: '' })
  })

  test.for([
    ['nothing', '', 'SPEC_INVALID', /not JSON/],
    ['no JSON', JSON.stringify(valid).slice(0, -3), 'SPEC_INVALID', /not JSON/],
    ['something else', '[]', 'SPEC_INVALID', /expected object/],
    ['a field of the wrong type', JSON.stringify({ ...valid, address: '../x' }), 'SPEC_INVALID', /at address/],
    ['a newer version', JSON.stringify({ version: 2, bus: 'to be invented' }), 'SPEC_TOO_NEW', /version 2/],
    ['a capability nobody knows', JSON.stringify({ ...valid, required: ['telepathy'] }), 'SPEC_TOO_NEW', /telepathy/],
    [
      'an unknown executor',
      JSON.stringify({ ...valid, executors: ['echo', 'nope'] }),
      'UNKNOWN_EXECUTOR',
      /"nope"; there are: echo, command/,
    ],
    ['8 MiB of something else', `[${']'.padStart(maxBytes - 1)}`, 'SPEC_INVALID', /expected object/],
    ['more than 8 MiB', '[]'.padEnd(maxBytes + 1), 'SPEC_TOO_LARGE', /8388608/],
  ] as const)('refuses %s at once, with its reason on the last line', async ([, document, code, message]) => {
    await using worker = startProcess(document)
    const ended = await worker.ended
    expect(ended).toMatchObject({ code: 78, stdout: '', error: { code, message: expect.stringMatching(message) } })
    expect(ended.stderr).not.toContain('hush')
    expect(ended.tookMs).toBeLessThan(refusalBoundMs)
    console.log(`refused ${code} after ${ended.tookMs.toFixed(0)} ms`)
  })

  test('whose owner dies before the bus answers leaves', async () => {
    await using worker = startProcess(JSON.stringify(valid))
    await sleep(500)
    worker.orphan()
    expect(await worker.ended).toMatchObject({ code: 0 })
  })

  test('that is told to end before the bus answers leaves', async () => {
    await using silent = createServer((socket) => socket.resume().on('error', () => undefined)).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const at = silent.address()
    const url = `ws://127.0.0.1:${typeof at === 'object' ? at?.port : 0}`
    await using worker = startProcess(JSON.stringify({ ...valid, bus: { ...valid.bus, url } }))
    await once(silent, 'connection')
    worker.child.kill('SIGTERM')
    expect(await worker.ended).toMatchObject({ code: 0, stderr: '' })
  })

  test('that is turned away by the bus says why', async () => {
    await using stage = await openStage()
    await using stranger = startProcess(
      JSON.stringify({ ...valid, bus: { url: stage.url, token: 'wrong-token-wrong-token' } }),
    )
    expect(await stranger.ended).toMatchObject({ code: 70, error: { code: 'UNAUTHORIZED' } })
    const known = await stage.start()
    await stage.exchange()
    expect(await known.ended).toMatchObject({ code: 70, error: { code: 'CONNECT_FAILED' } })
  })
})

describe('a worker process', () => {
  test('serves runs, streams their events, and leaves in order when it is drained', async () => {
    await using stage = await openStage()
    const worker = await stage.start()
    const run = await stage.runner.run(worker.address, { executor: 'echo', task: 'over a real bus' })
    expect(await run.accepted.promise).toMatchObject({ pid: worker.child.pid })
    expect(await run.terminal).toMatchObject({ status: 'completed', text: 'echo: over a real bus' })
    expect(run.events).toHaveLength(4)
    worker.child.kill('SIGTERM')
    expect(await worker.ended).toMatchObject({ code: 0, stderr: '' })
  })

  test('takes steering, and puts it into the transcript', async () => {
    await using stage = await openStage()
    const worker = await stage.start()
    const run = await stage.runner.run(worker.address, { executor: 'obedient' })
    expect(await run.steer('left')).toBe('delivered')
    expect(await run.steer('right', 'queue')).toBe('queued')
    await run.seen(4)
    await run.cancel('that is all')
    expect(await run.terminal).toMatchObject({ status: 'cancelled', reason: 'that is all', lastSeq: 4 })
    expect(run.events.map((event) => JSON.stringify(event)).join()).toMatch(
      /"user".*left.*now: left.*right.*queue: right/,
    )
  })

  test('takes up the newer token that its runner sends, and stays when the first is worth nothing any more', async () => {
    await using stage = await openStage()
    const { broker, runner } = stage
    const [first, second] = [
      'the first key, of thirty-two bytes or more',
      'the second key, of thirty-two bytes or more',
    ]
    const request = { subject: 'worker', grants: workerGrants({ address: 'worker.*', runner: '*', role: 'stage' }) }
    broker.useTokenKeys([first])
    const { token } = await broker.issue(request)
    const worker = await stage.start({ bus: { url: stage.url, token } })
    broker.useTokenKeys([second, first])
    const payload = encodeMessage('token', await broker.issue(request))
    runner.peer.publish({ to: worker.address, kind: 'token', payload })
    const completes = async (): Promise<void> => {
      const { terminal } = await runner.run(worker.address, { executor: 'echo' })
      expect(await Promise.race([terminal, worker.ended])).toMatchObject({ status: 'completed' })
    }
    // What it says comes behind the newer token.
    for (let count = 0; count < 2; count += 1) await completes()
    broker.useTokenKeys([second])
    await completes()
  })

  test('answers a cancel that its executor ignores when the grace is over', async () => {
    await using stage = await openStage()
    const worker = await stage.start()
    const run = await stage.runner.run(worker.address, { executor: 'deaf' })
    await run.accepted.promise
    await run.cancel('listen')
    expect(await run.terminal).toMatchObject({ status: 'cancelled', reason: 'listen' })
  })

  test('has V8 place no new object among the old ones, where it would be collected late', async () => {
    await using stage = await openStage()
    const worker = await stage.start({}, ['--max-semi-space-size=1', '--trace-pretenuring-statistics'])
    const run = await stage.runner.run(worker.address, { executor: 'keeper' })
    expect(await run.terminal).toMatchObject({ status: 'completed', output: 500_000 })
    worker.child.kill('SIGTERM')
    const { stdout, stderr } = await worker.ended
    const [, said] = stdout.split('keeping')
    expect(said).toBeDefined()
    expect(said).not.toMatch(/pretenuring: AllocationSite/)
    expect(stderr).toBe('')
  })

  test('has secrets in neither arguments nor environment, and a program only what it is handed', async () => {
    await using stage = await openStage()
    const worker = await stage.start({ secrets: { key: 'top-secret-value' } })
    const terminal = await (await stage.runner.run(worker.address, { executor: 'look' })).terminal
    expect(terminal).toMatchObject({ status: 'completed', output: { secret: 16, handed: 16 } })
    expect(JSON.stringify(terminal)).not.toContain('top-secret')
    expect(execFileSync('ps', ['-A', '-ww', '-o', 'args='], { encoding: 'utf8' })).not.toContain('top-secret')
    expect(terminal.output).toMatchObject({
      env: { PATH: expect.any(String) },
      program: expect.stringContaining('PATH='),
    })
  })

  test('on SIGTERM takes no new run, finishes the one it has, then leaves', async () => {
    await using stage = await openStage()
    const worker = await stage.start()
    const run = await stage.runner.run(worker.address, { executor: 'obedient' })
    await run.accepted.promise
    worker.child.kill('SIGTERM')
    const late = async (): Promise<string> =>
      (await (await stage.runner.run(worker.address, { executor: 'echo' })).refused.promise).code
    await sleep(200)
    expect(await late()).toBe('DRAINING')
    expect(await run.steer('still there')).toBe('delivered')
    await run.cancel('enough')
    expect((await run.terminal).status).toBe('cancelled')
    expect(await worker.ended).toMatchObject({ code: 0 })
  })

  test.for(['SIGTERM', 'SIGINT'] as const)('on a second signal (%s) cancels without grace', async (second) => {
    await using stage = await openStage()
    const worker = await stage.start({ cancelGraceMs: 60_000 })
    const run = await stage.runner.run(worker.address, { executor: 'deaf' })
    await run.accepted.promise
    worker.child.kill('SIGTERM')
    await sleep(100)
    const start = performance.now()
    worker.child.kill(second)
    expect((await run.terminal).status).toBe('cancelled')
    expect(performance.now() - start).toBeLessThan(atOnceMs)
    expect(await worker.ended).toMatchObject({ code: 0 })
  })

  test('whose owner is gone cancels what it does, ends its programs and leaves', async () => {
    await using stage = await openStage()
    const worker = await stage.start({ cancelGraceMs: 60_000 })
    const marker = `${Math.floor(Math.random() * 1e6) + 400}.25`
    const input = {
      program: 'sh',
      args: ['-c', `trap "" TERM; echo ready; sleep ${marker} & sleep ${marker}; sleep ${marker}`],
    }
    const run = await stage.runner.run(worker.address, { executor: 'command', input })
    // Nor is there more time for one that hears nothing.
    const other = await stage.start({ cancelGraceMs: 60_000 })
    const deaf = await stage.runner.run(other.address, { executor: 'deaf' })
    await Promise.all([run.seen(2), deaf.accepted.promise])
    const start = performance.now()
    for (const one of [worker, other]) one.orphan()
    for (const one of [run, deaf])
      expect(await one.terminal).toMatchObject({ status: 'cancelled', reason: 'the owner of the worker is gone' })
    for (const one of [worker, other]) expect(await one.ended).toMatchObject({ code: 0 })
    const tookMs = performance.now() - start
    console.log(`an orphan left after ${tookMs.toFixed(0)} ms`)
    expect(tookMs).toBeLessThan(orphanBoundMs)
    expect(execFileSync('ps', ['-A', '-o', 'stat=,args='], { encoding: 'utf8' })).not.toContain(marker)
  })

  test('that is killed takes the programs of its runs with it', async () => {
    await using stage = await openStage()
    const worker = await stage.start()
    const marker = `${Math.floor(Math.random() * 1e6) + 400}.75`
    const input = { program: 'sh', args: ['-c', `trap "" TERM; echo ready; sleep ${marker}; sleep ${marker}`] }
    await (await stage.runner.run(worker.address, { executor: 'command', input })).seen(2)
    worker.child.kill('SIGKILL')
    await once(worker.child, 'exit')
    const start = performance.now()
    while (execFileSync('ps', ['-A', '-o', 'args='], { encoding: 'utf8' }).includes(marker)) {
      expect(performance.now() - start).toBeLessThan(orphanBoundMs)
      await sleep(20)
    }
    console.log(`the programs of a killed worker were gone after ${(performance.now() - start).toFixed(0)} ms`)
  })

  test('leaves when it has been idle for long enough', async () => {
    await using stage = await openStage()
    const worker = await stage.start({ idleMs: 100 })
    expect(await worker.ended).toMatchObject({ code: 0 })
  })

  test('that is fenced aborts and exits with 3', async () => {
    await using stage = await openStage()
    const worker = await stage.start({ cancelGraceMs: 60_000 })
    await (
      await stage.runner.run(worker.address, { executor: 'deaf' })
    ).accepted.promise
    await stage.runner.peer.fence(worker)
    const fenced = { code: 3, error: { code: 'FENCED' } }
    expect(await worker.ended).toMatchObject(fenced)
    // Nor does it begin once more.
    const again = await stage.start({ address: worker.address, incarnation: worker.incarnation })
    expect(await again.ended).toMatchObject(fenced)
  })

  test('that crashes says so on its last line', async () => {
    await using stage = await openStage()
    const worker = await stage.start()
    await stage.runner.run(worker.address, { executor: 'stray' })
    const ended = await worker.ended
    expect(ended).toMatchObject({ code: 70, error: { code: 'EXECUTOR_ERROR', message: 'nobody caught this' } })
    expect(ended.stderr).toContain('serve-worker.ts')
  })
})
