import { text } from 'node:stream/consumers'
import { createMemoryBus } from '@greenroom/bus'
import { createManualClock } from '@greenroom/bus/testing'
import { encodePayload, type Provision } from '@greenroom/proto'
import { defineExecutor, echo, type RunContext } from '@greenroom/worker'
import { createInProcessLauncher, type InProcessOptions, type InProcessWorker } from '@greenroom/worker/testing'
import { describe, expect, test } from 'vitest'
import { RunnerDouble } from '../src/testing/runner-double.ts'

/** Says `tick` every second of its clock. */
const ticking = defineExecutor({
  version: '1',
  async run(_request, ctx) {
    for (;;) {
      await secondOf(ctx)
      await ctx.emit({ type: 'status', status: 'tick' })
    }
  },
})

/** Starts a program that ends only by KILL. */
const programs = defineExecutor({
  version: '1',
  async run(_request, ctx) {
    const program = ctx.spawn('sh', ['-c', "trap '' TERM; echo; while :; do sleep 1; done"])
    for await (const _line of program.stdout) break
    await ctx.emit({ type: 'data', name: 'pid', data: program.pid ?? 0 })
    await program.exited
  },
})

function secondOf({ clock, signal }: RunContext): Promise<void> {
  return new Promise((resolve, reject) => {
    clock.timer(1_000, resolve)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

async function open(options: Partial<InProcessOptions> = {}) {
  const clock = createManualClock()
  const bus = createMemoryBus({ clock, defer: clock.defer })
  const launcher = createInProcessLauncher({ bus, executors: { echo, ticking, programs }, clock, ...options })
  const runner = await RunnerDouble.attach(bus)
  const start = (more: Partial<Provision> = {}) => {
    const launched = launcher.launch({ role: 'test', address: 'worker.1', env: { PATH: process.env['PATH'] ?? '' } })
    const provision = {
      version: 1,
      bus: { url: 'ws://unused', token: '' },
      address: 'worker.1',
      incarnation: 'w1',
      role: 'test',
      executors: ['echo', 'ticking', 'programs'],
      ...more,
    }
    launched.stdin.end(encodePayload(provision))
    return launched
  }
  const only = (): InProcessWorker => launcher.workers[0] ?? expect.fail('no worker')
  return { clock, bus, launcher, runner, start, only, [Symbol.asyncDispose]: () => bus.close() }
}

describe('a worker without a process', () => {
  test('serves runs, and leaves with 0 when it is told to', async () => {
    await using it = await open()
    const { exited, kill } = bound(it.start())
    const run = await it.runner.run('worker.1', { executor: 'echo', task: 'hello' })
    expect(await run.terminal).toMatchObject({ status: 'completed', text: 'echo: hello' })
    kill('SIGTERM')
    expect(await exited).toEqual({ code: 0, signal: null })
    expect(it.launcher.workers).toEqual([])
    expect(it.bus.stats()).toMatchObject({ peers: 1, messages: 0 })
    await it.clock.settle()
    expect(it.clock.timers).toEqual([])
  })

  test('refuses what a process refuses, with the same code and the same last line', async () => {
    await using it = await open()
    const launched = it.start({ executors: ['other'] })
    expect(await launched.exited).toEqual({ code: 78, signal: null })
    expect(await text(launched.stderr)).toBe(
      'greenroom-error {"code":"UNKNOWN_EXECUTOR","message":"no executor \\"other\\"; there are: echo, ticking, programs"}\n',
    )
  })

  test('that is fenced ends with 3', async () => {
    await using it = await open()
    const { exited } = it.start()
    await it.clock.settle()
    await it.runner.peer.fence({ address: 'worker.1', incarnation: 'w1' })
    expect(await exited).toEqual({ code: 3, signal: null })
  })

  test('a second order to end does not wait for its runs', async () => {
    await using it = await open()
    const { exited, kill } = bound(it.start())
    const run = await it.runner.run('worker.1', { executor: 'ticking' })
    await run.accepted.promise
    kill('SIGTERM')
    await it.clock.settle()
    expect(it.only().state).toBe('running')
    kill('SIGTERM')
    expect(await run.terminal).toMatchObject({ status: 'cancelled' })
    expect(await exited).toEqual({ code: 0, signal: null })
  })

  test('that is killed says nothing more, and leaves neither timers nor programs', async () => {
    await using it = await open()
    const { exited } = it.start({ slots: 1 })
    const run = await it.runner.run('worker.1', { executor: 'programs' })
    const [started] = await run.seen(1)
    const pid = Number(started?.['data'])
    it.only().kill()
    expect(await exited).toEqual({ code: null, signal: 'SIGKILL' })
    await gone(pid)
    // What the bus remembers of its life is the owner's to end.
    await it.runner.peer.fence({ address: 'worker.1', incarnation: 'w1' })
    await it.clock.advance(60_000)
    expect(run.terminals).toEqual([])
    expect(it.bus.stats().peers).toBe(1)
  })

  test('that is suspended stands still with its clock, and goes on where it was', async () => {
    await using it = await open()
    it.start()
    const run = await it.runner.run('worker.1', { executor: 'ticking' })
    await it.clock.advance(2_000)
    expect(run.events).toHaveLength(2)
    it.only().suspend()
    await it.clock.advance(10_000)
    expect(run.events).toHaveLength(2)
    it.only().resume()
    await it.clock.settle()
    expect(run.events).toHaveLength(3)
    await it.clock.advance(1_000)
    expect(run.events).toHaveLength(4)
  })

  test('hears of an order to end that came while it was suspended', async () => {
    await using it = await open()
    const { exited, kill } = bound(it.start())
    it.only().suspend()
    // Before it serves an order ends it at once, and it must not have heard of this one yet.
    kill('SIGTERM')
    await it.clock.settle()
    expect(it.only().state).toBe('suspended')
    it.only().resume()
    expect(await exited).toEqual({ code: 0, signal: null })
  })

  test('goes on without its connection, and says it all when that is back', async () => {
    await using it = await open()
    it.start()
    const run = await it.runner.run('worker.1', { executor: 'ticking' })
    await it.clock.advance(1_000)
    it.only().cut(5_000)
    await it.clock.advance(4_999)
    expect(run.events).toHaveLength(1)
    await it.clock.advance(1)
    await it.clock.advance(2_000)
    expect(run.events.length).toBeGreaterThan(6)
  })

  test('a start that is refused ends as that of a program that is not there', async () => {
    await using it = await open({ refuse: ({ role }) => new Error(`no room for ${role}`) })
    const exit = await it.start().exited
    expect(exit).toMatchObject({ code: null, signal: null, error: { message: 'no room for test' } })
    expect(it.launcher.workers).toEqual([])
  })
})

function bound(launched: { exited: Promise<unknown>; kill(signal: 'SIGTERM' | 'SIGKILL'): void }) {
  return { exited: launched.exited, kill: (signal: 'SIGTERM' | 'SIGKILL') => launched.kill(signal) }
}

/** Waits for the end of a real program, which no clock of ours knows of. */
async function gone(pid: number): Promise<void> {
  const isThere = (): boolean => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }
  while (isThere()) await new Promise((resolve) => setTimeout(resolve, 5))
}

test('whose owner is gone: cancels its run, says so and leaves; one that cannot is killed within two seconds', async () => {
  for (const isSuspended of [false, true]) {
    await using stage = await open()
    const { clock, runner } = stage
    const { exited } = stage.start()
    await clock.settle()
    const run = await runner.run('worker.1', { executor: 'ticking' })
    await clock.advance(2_500)
    if (isSuspended) stage.only().suspend()
    stage.only().orphan()
    await clock.advance(1_999)
    if (!isSuspended) expect(await run.terminal).toMatchObject({ status: 'cancelled' })
    await clock.advance(1)
    expect(await exited).toEqual(isSuspended ? { code: null, signal: 'SIGKILL' } : { code: 0, signal: null })
    if (!isSuspended) expect(clock.timers).toEqual([])
  }
})
