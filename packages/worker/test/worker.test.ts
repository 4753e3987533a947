import { createHash } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { encodeMessage, encodePayload, GreenroomError, type Bus, type PresenceChange } from '@greenroom/proto'
import { defineExecutor, echo, type RunContext } from '@greenroom/worker'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import * as z from 'zod'
import { RunFailure, Suspended } from '../src/ending.ts'
import { openBench, type Bench } from '../src/testing/bench.ts'
import { createManualClock, observeBus, settle } from '@greenroom/bus/testing'

/** Hands its context out and ends when told. */
function puppet(definition: { slots?: number; secrets?: string[] } = {}) {
  const runs: { ctx: RunContext; end: (error?: Error) => void }[] = []
  const executor = defineExecutor({
    version: '1',
    ...definition,
    run: (_request, ctx) =>
      new Promise<void>((resolve, reject) => {
        runs.push({ ctx, end: (error) => (error === undefined ? resolve() : reject(error)) })
      }),
  })
  return { executor, runs, first: () => runs[0] ?? expect.fail('nothing runs') }
}

/** A bus on which every claim is confirmed only when told. */
function slowClaims(bus: Bus, confirmed: Promise<void>): Bus {
  return {
    capabilities: bus.capabilities,
    attach: ({ onMessage, ...options }) =>
      bus.attach({
        ...options,
        onMessage: (delivery) => {
          const claim = (): Promise<void> => confirmed.then(() => delivery.claim())
          onMessage?.({ ...delivery, ack: () => delivery.ack(), nack: (nack) => delivery.nack(nack), claim })
        },
      }),
    close: () => bus.close(),
    [Symbol.asyncDispose]: () => bus.close(),
  }
}

/** Sends one of the three parts of a run's history. */
const sendHistory =
  ({ runner, address }: Bench, runId: string) =>
  (part: number, content: string) =>
    runner.peer.send({
      to: address,
      id: `history-${runId}-1-${part}`,
      kind: 'history',
      payload: encodeMessage('history', { runId, epoch: 1, part, parts: 3, messages: [{ role: 'user', content }] }),
    })

/** The first attempt of the run `r`, to be sent by hand. */
const orderOf = (replyTo: string) =>
  encodeMessage('run', {
    runId: 'r',
    epoch: 1,
    role: 'test',
    executor: 'it',
    path: ['r'],
    depth: 0,
    task: '',
    workspace: '/',
    replyTo,
  })

const abortOf = ({ signal }: RunContext): Error =>
  signal.reason instanceof Error ? signal.reason : expect.fail('not aborted')

const digestOf = (output: unknown, text: string) =>
  createHash('sha256')
    .update(JSON.stringify([output, text]))
    .digest('hex')

describe('a run', () => {
  test('is claimed, accepted, executed and ended by one terminal with digest and last sequence number', async () => {
    await using bench = await openBench({ echo })
    const run = await bench.run({ executor: 'echo', task: 'hello  wide world' })
    expect(await run.accepted.promise).toMatchObject({ epoch: 1 })
    const text = 'echo: hello wide world'
    expect(await run.terminal).toEqual({
      ...run.ref,
      status: 'completed',
      text,
      lastSeq: 3,
      digest: digestOf(null, text),
    })
    expect(run.events.map((event) => event['text'])).toEqual(['hello ', 'wide ', 'world '])
    await settle()
    expect(run.terminals).toHaveLength(1)
    expect(bench.bus.stats()).toMatchObject({ messages: 0, held: 0 })
  })

  test('that is revoked before its claim never executes', async () => {
    const { executor, runs } = puppet()
    await using bench = await openBench({ it: executor })
    const [run, revoked] = await Promise.all([
      bench.run({ executor: 'it', runId: 'r1' }),
      bench.runner.peer.revoke({ to: bench.address, id: 'run-r1-1' }),
    ])
    expect(revoked).toBe('withdrawn')
    await settle()
    expect([runs.length, run.terminals.length, bench.worker.freeSlots]).toEqual([0, 0, 1])
  })

  test('gets its request with all defaults filled in, and the input as its schema made it', async () => {
    const seen: unknown[] = []
    const executor = defineExecutor({
      version: '1',
      input: z.object({ n: z.number().default(7) }),
      async run(request) {
        seen.push(request)
      },
    })
    await using bench = await openBench({ it: executor })
    await (
      await bench.run({ executor: 'it', task: 't', input: {}, workspace: '/w', model: 'm', limits: { rounds: 0 } })
    ).terminal
    expect(seen).toEqual([
      {
        input: { n: 7 },
        task: 't',
        messages: [],
        workspace: '/w',
        model: 'm',
        limits: { rounds: 0 },
        attempt: 1,
        posture: {},
        disabledTools: [],
        mcpServers: [],
      },
    ])
    const told = {
      posture: { bypass: true, readOnly: true },
      disabledTools: ['bash'],
      mcpServers: [{ name: 'files', command: 'mcp-files' }],
    }
    await (
      await bench.run({ executor: 'it', input: {}, epoch: 3, ...told })
    ).terminal
    expect(seen[1]).toMatchObject({ ...told, attempt: 3 })
  })

  test('with a long history gets it from its parts, in order, however they came', async () => {
    const seen: unknown[] = []
    const executor = defineExecutor({
      version: '1',
      async run({ messages }) {
        seen.push(messages.map(({ content }) => content))
      },
    })
    await using bench = await openBench({ it: executor })
    const send = sendHistory(bench, 'h1')
    await Promise.all([send(2, 'two'), send(3, 'three'), send(1, 'one')])
    expect((await (await bench.run({ executor: 'it', runId: 'h1', historyParts: 3 })).terminal).status).toBe(
      'completed',
    )
    expect(seen).toEqual([['one', 'two', 'three']])
    expect((await (await bench.run({ executor: 'it', runId: 'h2', historyParts: 1 })).terminal).error?.code).toBe(
      'SPEC_INVALID',
    )
  })

  test.for([
    ['an unknown executor', 'UNKNOWN_EXECUTOR', { executor: 'nope' }, /"nope"; there are: it, bad/],
    ['an executor name that is a property of every object', 'UNKNOWN_EXECUTOR', { executor: 'toString' }, /there are/],
    ['an input that does not fit', 'INPUT_INVALID', { executor: 'it', input: { deep: [1] } }, /input\.deep\.0: /],
    ['a capability nobody knows', 'SPEC_TOO_NEW', { executor: 'it', required: ['telepathy'] }, /telepathy/],
    ['an output that does not fit', 'OUTPUT_INVALID', { executor: 'bad', task: 'schema' }, /output: /],
    ['a usage that is not one', 'OUTPUT_INVALID', { executor: 'any', task: 'usage' }, /usage\.rounds: /],
    ['an output that is not JSON', 'OUTPUT_INVALID', { executor: 'any', task: 'date' }, /not JSON/],
    ['an output that is too large', 'OUTPUT_INVALID', { executor: 'any', task: 'large' }, /too large/],
  ] as const)('with %s ends as failed %s', async ([, code, spec, message]) => {
    const it = defineExecutor({
      version: '1',
      input: z.object({ deep: z.array(z.string()) }).optional(),
      async run() {},
    })
    const bad = defineExecutor({ version: '1', output: z.string().min(9), run: async () => ({ output: 'short' }) })
    const any = defineExecutor({
      version: '1',
      output: z.unknown(),
      run: async ({ task }) => ({
        output: task === 'date' ? { when: new Date(0) } : task === 'large' ? 'x'.repeat(9_000_000) : 1,
        ...(task === 'usage' ? { usage: JSON.parse('{ "rounds": "two" }') } : {}),
      }),
    })
    await using bench = await openBench({ it, bad, any })
    const terminal = await (await bench.run(spec)).terminal
    expect(terminal).toMatchObject({ status: 'failed', lastSeq: 0, error: { code, retry: 'never' } })
    expect(terminal.error?.message).toMatch(message)
    await settle()
    expect(bench.worker.freeSlots).toBe(1)
  })

  test('that cannot be decoded is answered when it says which it is, else dropped, and never redelivered', async () => {
    await using bench = await openBench({ echo })
    const run = bench.runner.expect(bench.address, { runId: 'x1', epoch: 1 })
    const send = (id: string, value: unknown) =>
      bench.runner.peer.send({ to: bench.address, id, kind: 'run', payload: encodePayload(value) })
    await send('run-x1-1', { runId: 'x1', epoch: 1, executor: 7, replyTo: 'not a name' })
    expect((await run.terminal).error?.code).toBe('SPEC_INVALID')
    await send('run-x2-1', 'garbage')
    await settle()
    expect(bench.log.some((line) => line.includes('run-x2-1'))).toBe(true)
    const other = bench.runner.expect(bench.address, { runId: 'x3', epoch: 1 })
    await using sender = await bench.bus.attach({ address: 'other', incarnation: 'i', lifetime: 'incarnation' })
    const payload = encodePayload({ ...other.ref, executor: 7, replyTo: bench.runner.peer.address })
    await sender.send({ to: bench.address, id: 'run-x3-1', kind: 'run', payload })
    expect((await other.terminal).error?.code).toBe('SPEC_INVALID')
    expect(bench.bus.stats()).toMatchObject({ messages: 0, held: 0 })
  })

  test('that cannot be decoded is answered also when every slot is taken', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor })
    await (
      await bench.run({ executor: 'it' })
    ).accepted.promise
    const bad = bench.runner.expect(bench.address, { runId: 'x1', epoch: 1 })
    const payload = encodePayload({ ...bad.ref, executor: 7 })
    await bench.runner.peer.send({ to: bench.address, id: 'run-x1-1', kind: 'run', payload })
    expect((await bad.terminal).error?.code).toBe('SPEC_INVALID')
    first().end()
  })

  test('that comes once more under another id is not begun once more', async () => {
    const { executor, runs, first } = puppet({ slots: 2 })
    await using bench = await openBench({ it: executor })
    const { peer } = bench.runner
    for (const id of ['run-r-1', 'run-r-1-again']) {
      await peer.send({ to: bench.address, id, kind: 'run', payload: orderOf(peer.address) })
      await settle()
    }
    expect([runs.length, bench.worker.freeSlots]).toEqual([1, 1])
    first().end()
  })

  test('of an older epoch than one that was seen is ignored', async () => {
    const { executor, runs } = puppet({ slots: 2 })
    await using bench = await openBench({ it: executor })
    await (
      await bench.run({ executor: 'it', runId: 'r', epoch: 2 })
    ).accepted.promise
    await bench.run({ executor: 'it', runId: 'r', epoch: 1 })
    await settle()
    expect(runs).toHaveLength(1)
    expect(bench.bus.stats()).toMatchObject({ messages: 0, held: 0 })
  })

  test('beyond the slots is refused as BUSY, unclaimed, and can be revoked', async () => {
    const { executor, first } = puppet({ slots: 5 })
    await using bench = await openBench({ it: executor }, { slots: 1 })
    const one = await bench.run({ executor: 'it' })
    await one.accepted.promise
    const two = await bench.run({ executor: 'it' })
    expect(await two.refused.promise).toEqual({ ...two.ref, code: 'BUSY' })
    const id = `run-${two.ref.runId}-1`
    expect(await bench.runner.peer.revoke({ to: bench.address, id })).toBe('withdrawn')
    // What cannot be done needs no slot to be answered.
    const bad = bench.runner.expect(bench.address, { runId: 'bad', epoch: 1 })
    const payload = encodePayload({ ...bad.ref, executor: 7 })
    await bench.runner.peer.send({ to: bench.address, id: 'run-bad-1', kind: 'run', payload })
    expect((await bad.terminal).error?.code).toBe('SPEC_INVALID')
    first().end()
    await one.terminal
    await settle()
    await (
      await bench.run({ executor: 'it' })
    ).accepted.promise
  })
})

describe('parts of a history', () => {
  const options = { lingerMs: 1_000, partitionGraceMs: 1_000 }

  test.each<[who: string, address: (bench: Bench) => string]>([
    ['the worker', ({ address }) => address],
    ['the runner', ({ runner }) => runner.peer.address],
  ])('wait for their run while %s is away, within its grace', async (_who, address) => {
    const clock = createManualClock()
    await using bench = await openBench({ echo }, { clock, ...options })
    for (const part of [1, 2, 3]) await sendHistory(bench, 'h1')(part, `part ${part}`)
    await settle()
    await clock.advance(900)
    bench.bus.cut(address(bench))
    await clock.advance(900)
    bench.bus.restore(address(bench))
    await settle()
    expect(await (await bench.run({ executor: 'echo', runId: 'h1', historyParts: 3 })).terminal).toMatchObject({
      status: 'completed',
    })
  })

  test('are kept no longer than that when it never comes', async () => {
    const clock = createManualClock()
    await using bench = await openBench({ echo }, { clock, ...options })
    for (const part of [1, 2, 3]) await sendHistory(bench, 'h1')(part, `part ${part}`)
    await settle()
    await clock.advance(2_000)
    await settle()
    expect((await (await bench.run({ executor: 'echo', runId: 'h1', historyParts: 3 })).terminal).error).toMatchObject({
      code: 'SPEC_INVALID',
    })
  })
})

describe('a claim', () => {
  test('may take longer than the parts of a history are kept: they came with their run', async () => {
    const clock = createManualClock()
    const seen: unknown[] = []
    const executor = defineExecutor({
      version: '1',
      async run({ messages }) {
        seen.push(messages.map(({ content }) => content))
      },
    })
    const confirmed = Promise.withResolvers<void>()
    await using bench = await openBench(
      { it: executor },
      { clock, lingerMs: 1_000, between: (bus) => slowClaims(bus, confirmed.promise) },
    )
    for (const part of [1, 2, 3]) await sendHistory(bench, 'h1')(part, `part ${part}`)
    const run = await bench.run({ executor: 'it', runId: 'h1', historyParts: 3 })
    await settle()
    await clock.advance(100_000)
    confirmed.resolve()
    expect(await run.terminal).toMatchObject({ status: 'completed' })
    expect(seen).toEqual([['part 1', 'part 2', 'part 3']])
  })

  test('that is not confirmed forgets the run, and refuses what was sent to it', async () => {
    const { executor, runs } = puppet()
    const confirmed = Promise.withResolvers<void>()
    await using bench = await openBench({ it: executor }, { between: (bus) => slowClaims(bus, confirmed.promise) })
    const run = await bench.run({ executor: 'it' })
    const steered = run.steer('left')
    await settle()
    expect(bench.worker.freeSlots).toBe(0)
    confirmed.reject(new GreenroomError('REVOKED'))
    expect(await steered).toBe('not-live')
    expect([runs.length, run.terminals.length, bench.worker.freeSlots]).toEqual([0, 0, 1])
  })
})

describe('who comes while the last slot is being claimed', () => {
  const begin = async (bench: Bench) => {
    const one = await bench.run({ executor: 'it' })
    await settle()
    const two = await bench.run({ executor: 'it' })
    const refused = vi.fn<() => void>()
    void two.refused.promise.then(refused)
    await settle()
    expect(refused).not.toHaveBeenCalled()
    return { one, two }
  }

  test('has it when it is not held after all: the run was withdrawn', async () => {
    const { executor, runs } = puppet()
    const confirmed = Promise.withResolvers<void>()
    await using bench = await openBench({ it: executor }, { between: (bus) => slowClaims(bus, confirmed.promise) })
    const { one, two } = await begin(bench)
    const id = `run-${one.ref.runId}-1`
    expect(await bench.runner.peer.revoke({ to: bench.address, id })).toBe('withdrawn')
    confirmed.resolve()
    await two.accepted.promise
    await settle()
    expect([runs.length, one.terminals.length]).toEqual([1, 0])
  })

  test('is refused as BUSY when it is', async () => {
    const { executor, runs } = puppet()
    const confirmed = Promise.withResolvers<void>()
    await using bench = await openBench({ it: executor }, { between: (bus) => slowClaims(bus, confirmed.promise) })
    const { one, two } = await begin(bench)
    confirmed.resolve()
    await one.accepted.promise
    expect(await two.refused.promise).toEqual({ ...two.ref, code: 'BUSY' })
    expect(runs).toHaveLength(1)
  })
})

describe('an ending', () => {
  test('fails what its executor asked and does not await, and that breaks nothing', async () => {
    const stray: unknown[] = []
    const onStray = (error: unknown): void => void stray.push(error)
    process.on('unhandledRejection', onStray)
    onTestFinished(() => void process.off('unhandledRejection', onStray))
    const forgets = defineExecutor({
      version: '1',
      async run(_request, { approve, children, bridge }) {
        void approve({ tool: 't', permission: 'p', resource: 'r', input: null })
        void children.spawn({ role: 'child' })
        const child = { runId: 'c1' }
        void children.wait([child])
        void children.ask(child, 'how far?')
        void children.send(child, 'stop')
        void children.cancel(child)
        void children.list()
        void bridge.list()
        void bridge.call({ server: 'screen', name: 'shot' })
      },
    })
    await using bench = await openBench({ forgets })
    const run = await bench.run({ executor: 'forgets', bridge: ['screen'] })
    expect(await run.terminal).toMatchObject({ status: 'completed' })
    await bench.worker.drain()
    await settle()
    expect(stray).toEqual([])
  })

  test('has its output, and a digest of output and text', async () => {
    const output = { n: [1] }
    const it = defineExecutor({ version: '1', run: async () => ({ output, text: 'done' }) })
    await using bench = await openBench({ it })
    expect(await (await bench.run({ executor: 'it' })).terminal).toMatchObject({
      status: 'completed',
      output,
      text: 'done',
      digest: digestOf(output, 'done'),
    })
  })

  test('by a throw is EXECUTOR_ERROR with the message, and its stack stays in the log', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor })
    const run = await bench.run({ executor: 'it' })
    await run.accepted.promise
    await settle()
    first().end(new TypeError('it broke'))
    const terminal = await run.terminal
    expect(terminal).toMatchObject({
      status: 'failed',
      error: { code: 'EXECUTOR_ERROR', message: 'it broke', retry: 'never' },
    })
    expect(JSON.stringify(terminal)).not.toContain('worker.test.ts')
    expect(bench.log.join()).toContain('worker.test.ts')
    await settle()
    expect(bench.worker.freeSlots).toBe(1)
  })

  test('by ctx.fail has its code and its word on trying again', async () => {
    const returned = defineExecutor({
      version: '1',
      output: z.string(),
      run: async (_, ctx) => ctx.fail('DENIED', 'by you'),
    })
    const called = defineExecutor({
      version: '1',
      async run(_, ctx) {
        ctx.fail('POOL_FULL', 'later', { retry: 'later' })
      },
    })
    await using bench = await openBench({ returned, called })
    expect((await (await bench.run({ executor: 'returned' })).terminal).error).toEqual({
      code: 'DENIED',
      message: 'by you',
      retry: 'never',
    })
    expect((await (await bench.run({ executor: 'called' })).terminal).error).toEqual({
      code: 'POOL_FULL',
      message: 'later',
      retry: 'later',
    })
  })

  test('by an error of the table has its code and its word on trying again', async () => {
    const full = defineExecutor({ version: '1', run: () => Promise.reject(new GreenroomError('POOL_FULL', 'no slot')) })
    await using bench = await openBench({ full })
    expect((await (await bench.run({ executor: 'full' })).terminal).error).toEqual({
      code: 'POOL_FULL',
      message: 'no slot',
      retry: 'later',
    })
  })

  test('by ctx.suspend says what it waits for, and is no failure', async () => {
    const parent = defineExecutor({
      version: '1',
      suspendable: true,
      run: async (_, ctx) => ctx.suspend([{ runId: 'child-1' }], { mode: 'any' }),
    })
    const again = defineExecutor({ version: '1', suspendable: true, run: async (_, ctx) => ctx.suspend() })
    await using bench = await openBench({ parent, again })
    const terminal = await (await bench.run({ executor: 'parent' })).terminal
    expect(terminal).toMatchObject({ status: 'suspended', waitsFor: { runIds: ['child-1'], mode: 'any' } })
    expect(terminal.error).toBeUndefined()
    // Whom it does not name it knows, be it from an attempt before.
    const outcome = { status: 'completed', output: null, text: '' } as const
    const resumed = [{ runId: 'child-2', key: 'k', outcome }]
    const next = await bench.run({ executor: 'again', epoch: 2, resumed })
    expect(await next.terminal).toMatchObject({ status: 'suspended', waitsFor: { runIds: ['child-2'], mode: 'all' } })
  })

  test('leaves what was said by ctx.message: the assistant’s, unless it says whose it is', async () => {
    const talks = defineExecutor({
      version: '1',
      async run(_, { message }) {
        await message('looking')
        await message({ role: 'tool', content: 'found' })
      },
    })
    await using bench = await openBench({ talks })
    const run = await bench.run({ executor: 'talks' })
    await run.terminal
    expect(run.events).toEqual([
      { type: 'message', message: { role: 'assistant', content: 'looking' } },
      { type: 'message', message: { role: 'tool', content: 'found' } },
    ])
  })

  test('is not told before the events that nobody waited for', async () => {
    const hasty = defineExecutor({
      version: '1',
      async run(_, { emit }) {
        for (let at = 0; at < 3_000; at += 1) void emit({ type: 'progress', done: at })
      },
    })
    await using bench = await openBench({ hasty })
    const run = await bench.run({ executor: 'hasty' })
    expect((await run.terminal).lastSeq).toBe(3_000)
    expect(run.events.map((event) => event['done'])).toEqual(Array.from({ length: 3_000 }, (_, at) => at))
  })

  test('is the last word: nothing that the executor does afterwards goes out', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor })
    const run = await bench.run({ executor: 'it' }, { reading: false })
    await settle()
    first().end()
    expect((await run.terminal).lastSeq).toBe(0)
    await expect(first().ctx.emit({ type: 'progress', done: 1 })).rejects.toMatchObject({ code: 'CLOSED' })
    await settle()
    expect(run.events).toEqual([])
    run.read()
  })

  test('is the last word also for what waits for room by then: a later ack lets nothing out', async () => {
    const done = Promise.withResolvers<void>()
    const careless = defineExecutor({
      version: '1',
      async run(_, { emit, steering }) {
        const loop = async (): Promise<void> => {
          for (let at = 0; ; at += 1) await emit({ type: 'progress', done: at })
        }
        void loop().catch(() => {})
        void steering[Symbol.asyncIterator]().next()
        await done.promise
      },
    })
    await using bench = await openBench({ careless })
    const run = await bench.run({ executor: 'careless' }, { reading: false })
    await run.seen(1_024)
    expect(await run.steer('too late to be recorded')).toBe('queued')
    done.resolve()
    await settle()
    for (const upTo of [1, 1_024]) {
      run.publish('ack', { ...run.ref, upTo })
      await settle()
    }
    expect(run.events.map(({ type }) => type)).not.toContain('message')
    expect(run.terminals).toMatchObject([{ lastSeq: run.events.length }])
    run.read()
  })

  test('frees the slot at once, and the memory at its acknowledgement or after lingerMs', async () => {
    const clock = createManualClock()
    await using bench = await openBench({ echo }, { clock, lingerMs: 1_000, idleMs: null })
    const before = clock.timers.length
    const read = await bench.run({ executor: 'echo', task: 'a b' })
    await read.terminal
    await settle()
    expect(clock.timers.length).toBe(before)
    const unread = await bench.run({ executor: 'echo', task: 'a b' }, { reading: false })
    await unread.terminal
    await settle()
    expect(bench.worker.freeSlots).toBe(256)
    expect(clock.timers.length).toBeGreaterThan(before)
    await clock.advance(1_000)
    expect(clock.timers.length).toBe(before)
  })

  test('that is acknowledged leaves nothing of its run in memory', async () => {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    const inboxes: WeakRef<object>[] = []
    const it = defineExecutor({
      version: '1',
      slots: 50,
      async run(_, { steering }) {
        inboxes.push(new WeakRef(steering))
      },
    })
    await using bench = await openBench({ it }, { resident: { labels: {}, host: 'here' } })
    const runs = await Promise.all(Array.from({ length: 50 }, () => bench.run({ executor: 'it' })))
    await Promise.all(runs.map(({ terminal }) => terminal))
    await settle()
    collect()
    expect(inboxes.filter((one) => one.deref() !== undefined).length).toBeLessThan(10)
  })
})

// Found by the simulator: a broker that was down for longer than lingerMs came back, and the runner asked in vain, for ever.
test('while its connection is lost nobody can ask a worker for its events, and it forgets none', async () => {
  const clock = createManualClock()
  const steps: string[] = []
  const between = (bus: Bus): Bus => observeBus(bus, { onStep: (name) => steps.push(name) })
  await using bench = await openBench({ echo }, { clock, between, lingerMs: 1_000, idleMs: null })
  const run = await bench.run({ executor: 'echo', task: 'a b' }, { reading: false })
  await run.terminal
  bench.bus.cut(bench.address)
  await clock.advance(10_000)
  bench.bus.restore(bench.address)
  await clock.advance(900)
  steps.length = 0
  run.publish('resume', { ...run.ref, ack: 0 })
  await settle()
  expect(steps).toContain('publish events')
  await clock.advance(2_000)
  steps.length = 0
  run.publish('resume', { ...run.ref, ack: 0 })
  await settle()
  expect(steps).toEqual([])
})

// Found by the simulator: a machine slept between a terminal and the events before it.
test('while its machine sleeps nobody can ask a worker for its events, and it forgets none', async () => {
  const clock = createManualClock()
  const steps: string[] = []
  const between = (bus: Bus): Bus => observeBus(bus, { onStep: (name) => steps.push(name) })
  await using bench = await openBench({ echo }, { clock, between, lingerMs: 1_000, idleMs: null })
  const run = await bench.run({ executor: 'echo', task: 'a b' }, { reading: false })
  await run.terminal
  await settle()
  clock.suspend(60_000)
  await settle()
  steps.length = 0
  run.publish('resume', { ...run.ref, ack: 0 })
  await settle()
  const again = [...steps]
  await clock.advance(1_000)
  expect(again).toContain('publish events')
})

describe('a detached worker', () => {
  const detached = { executor: 'it', detached: true }

  test('stores each entry, then its last word, and leaves; deltas go nowhere', async () => {
    const it = defineExecutor({
      version: '1',
      async run(_request, ctx) {
        await ctx.emit({ type: 'text-delta', text: 'a' })
        await ctx.emit({ type: 'status', status: 'one' })
        await ctx.emit({ type: 'status', status: 'two' })
        return { text: 'done' }
      },
    })
    const clock = createManualClock()
    const steps: string[] = []
    const between = (bus: Bus): Bus => observeBus(bus, { onStep: (name) => steps.push(name) })
    await using bench = await openBench({ it }, { clock, between, detached: true, lingerMs: 1_000 })
    const run = await bench.run(detached, { reading: false })
    expect(await run.terminal).toMatchObject({ status: 'completed', text: 'done', lastSeq: 2 })
    expect(run.events).toEqual([
      { type: 'status', status: 'one' },
      { type: 'status', status: 'two' },
    ])
    expect(await bench.worker.closed).toMatchObject({ why: 'drained' })
    expect(steps).toContain('send events')
    expect(steps).not.toContain('publish events')
    expect(steps.indexOf('send terminal')).toBeGreaterThan(steps.lastIndexOf('send events'))
  })

  test('told to leave, and without a bus, stays until its last word is stored', async () => {
    // With something to store before it, and without.
    for (const lastSeq of [1, 0]) {
      const clock = createManualClock()
      const { executor, first } = puppet()
      await using bench = await openBench({ it: executor }, { clock, detached: true, lingerMs: 1_000 })
      const run = await bench.run(detached)
      await run.accepted.promise
      await settle()
      let hasLeft = false
      void bench.worker.closed.then(() => (hasLeft = true))
      void bench.worker.drain()
      bench.bus.cut(bench.address)
      if (lastSeq > 0) void first().ctx.emit({ type: 'status', status: 'alone' })
      first().end()
      // Well over lingerMs, and within the grace.
      await clock.advance(20_000)
      await settle()
      expect(hasLeft).toBe(false)
      bench.bus.restore(bench.address)
      expect(await run.terminal).toMatchObject({ status: 'completed', lastSeq })
      expect(await bench.worker.closed).toMatchObject({ why: 'drained' })
    }
  })

  test('leaves also when its run was withdrawn', async () => {
    const { executor } = puppet()
    const confirmed = Promise.withResolvers<void>()
    await using bench = await openBench(
      { it: executor },
      { detached: true, between: (bus) => slowClaims(bus, confirmed.promise) },
    )
    const run = await bench.run(detached)
    await bench.runner.peer.revoke({ to: bench.address, id: `run-${run.ref.runId}-1` })
    confirmed.resolve()
    expect(await bench.worker.closed).toMatchObject({ why: 'drained' })
  })
})

test('what an executor says without words answers no question', async () => {
  const hearing = defineExecutor({
    version: '1',
    async run(_request, ctx) {
      for await (const { text } of ctx.steering) {
        await ctx.message('')
        await ctx.message(`I heard ${text}`)
        break
      }
    },
  })
  await using bench = await openBench({ hearing })
  const run = await bench.run({ executor: 'hearing' })
  await run.accepted.promise
  expect(await run.ask('How far?', 'steer')).toMatchObject({ answer: 'I heard How far?' })
})

describe('a cancel', () => {
  test('aborts the signal with its reason; throwing that ends the run as cancelled', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor })
    const run = await bench.run({ executor: 'it' })
    await run.accepted.promise
    await settle()
    await run.cancel('not needed')
    await settle()
    const { signal } = first().ctx
    expect(signal.reason).toMatchObject({ name: 'AbortError', message: 'not needed' })
    first().end(abortOf(first().ctx))
    expect(await run.terminal).toMatchObject({ status: 'cancelled', reason: 'not needed' })
  })

  test('of one attempt is none of another attempt of the same run', async () => {
    const { executor, runs } = puppet({ slots: 2 })
    await using bench = await openBench({ it: executor })
    const [old, young] = [
      await bench.run({ executor: 'it', runId: 'r', epoch: 1 }),
      await bench.run({ executor: 'it', runId: 'r', epoch: 2 }),
    ]
    await Promise.all([old.accepted.promise, young.accepted.promise])
    await old.cancel('the old one')
    await settle()
    expect(runs.map(({ ctx }) => ctx.signal.aborted)).toEqual([true, false])
    runs[0]?.end()
    expect(await old.terminal).toMatchObject({ epoch: 1, status: 'cancelled' })
    expect(await old.steer('late')).toBe('not-live')
    await settle()
    // What it leaves is its own slot, and nothing of the other's.
    expect(bench.worker.freeSlots).toBe(1)
    expect(await young.steer('on')).toBe('queued')
    runs[1]?.end()
    expect(await young.terminal).toMatchObject({ epoch: 2, status: 'completed' })
  })

  test('that the executor answers with a result, or any error, ends it as cancelled; what it calls a failure is one', async () => {
    const { executor, runs } = puppet({ slots: 4 })
    await using bench = await openBench({ it: executor })
    const run = () => bench.run({ executor: 'it' })
    const all = [await run(), await run(), await run(), await run()] as const
    await settle()
    await Promise.all(all.map((one) => one.cancel('x')))
    await settle()
    runs[0]?.end()
    runs[1]?.end(new Error('other'))
    runs[2]?.end(new RunFailure('MINE', 'half done', 'later'))
    runs[3]?.end(new Suspended({ runIds: ['child-1'], mode: 'any' }))
    const [returned, threw, failed, suspended] = await Promise.all(all.map((one) => one.terminal))
    const cancelled = { status: 'cancelled', reason: 'x' }
    expect([returned, threw, suspended]).toMatchObject(Array.from({ length: 3 }, () => cancelled))
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'MINE', retry: 'later' } })
  })

  test('is final after the grace, whatever the executor does: no event, no second terminal, no free slot', async () => {
    const clock = createManualClock()
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor }, { clock, cancelGraceMs: 5_000 })
    const run = await bench.run({ executor: 'it' }, { reading: false })
    await settle()
    await run.cancel('first')
    await clock.advance(3_000)
    run.publish('cancel', { ...run.ref, reason: 'second' })
    await first().ctx.emit({ type: 'status', status: 'in the grace' })
    await clock.advance(1_999)
    expect(run.terminals).toHaveLength(0)
    await clock.advance(1)
    expect(await run.terminal).toMatchObject({ status: 'cancelled', reason: 'first', lastSeq: 1 })
    await expect(first().ctx.emit({ type: 'progress', done: 1 })).rejects.toMatchObject({ code: 'CLOSED' })
    expect(bench.worker.freeSlots).toBe(0)
    first().end()
    await settle()
    expect(bench.worker.freeSlots).toBe(1)
    expect([run.events.length, run.terminals.length]).toEqual([1, 1])
    run.read()
  })

  test('that overtakes its run is remembered, for that attempt: nothing executes', async () => {
    const { executor, runs } = puppet()
    await using bench = await openBench({ it: executor })
    await bench.runner.expect(bench.address, { runId: 'early', epoch: 1 }).cancel('too early')
    // However many others follow.
    for (let n = 0; n < 100; n += 1)
      await bench.runner.expect(bench.address, { runId: `${n}`, epoch: 1 }).cancel('other')
    await settle()
    const run = await bench.run({ executor: 'it', runId: 'early' })
    expect(await run.terminal).toMatchObject({ status: 'cancelled', reason: 'too early' })
    expect(runs).toHaveLength(0)
    await (
      await bench.run({ executor: 'it', runId: 'early', epoch: 2 })
    ).accepted.promise
    await settle()
    expect(runs).toHaveLength(1)
  })

  test('of a later attempt that overtakes an earlier one holds for that, too', async () => {
    const { executor, runs } = puppet()
    await using bench = await openBench({ it: executor })
    await bench.runner.expect(bench.address, { runId: 'early', epoch: 2 }).cancel('too early')
    await settle()
    const run = await bench.run({ executor: 'it', runId: 'early' })
    expect(await run.terminal).toMatchObject({ status: 'cancelled', reason: 'too early' })
    expect(runs).toHaveLength(0)
  })

  test('that comes while its run is being claimed is remembered: nothing executes', async () => {
    const { executor, runs } = puppet()
    const confirmed = Promise.withResolvers<void>()
    await using bench = await openBench({ it: executor }, { between: (bus) => slowClaims(bus, confirmed.promise) })
    const run = await bench.run({ executor: 'it' })
    await run.cancel('raced')
    const steered = run.steer('meanwhile')
    await settle()
    confirmed.resolve()
    expect(await run.terminal).toMatchObject({ status: 'cancelled', reason: 'raced' })
    expect(await steered).toBe('not-live')
    expect(runs).toHaveLength(0)
  })

  test('frees an emit that waits for room', async () => {
    let waited: unknown
    const flood = defineExecutor({
      version: '1',
      async run(_, { emit }) {
        try {
          for (let at = 0; ; at += 1) await emit({ type: 'progress', done: at })
        } catch (error) {
          waited = error
          throw error
        }
      },
    })
    await using bench = await openBench({ flood })
    const run = await bench.run({ executor: 'flood' }, { reading: false })
    await run.seen(1_024)
    await settle()
    expect(run.events).toHaveLength(1_024)
    await run.cancel('enough')
    expect(await run.terminal).toMatchObject({ status: 'cancelled', lastSeq: 1_024 })
    expect(waited).toMatchObject({ name: 'AbortError', message: 'enough' })
  })
})

describe('events', () => {
  test('wait for a slow reader: the executor is seen waiting at a full window, and goes on as it is acknowledged', async () => {
    let emitted = 0
    const writer = defineExecutor({
      version: '1',
      async run(_, { emit }) {
        for (emitted = 0; emitted < 5_000; emitted += 1) await emit({ type: 'text-delta', text: `${emitted} ` })
      },
    })
    await using bench = await openBench({ writer })
    const run = await bench.run({ executor: 'writer' }, { reading: false })
    await run.seen(1_024)
    await settle()
    expect(emitted).toBe(1_024)
    run.read()
    expect((await run.terminal).lastSeq).toBe(5_000)
    expect(run.events.map((event) => event['text'])).toEqual(Array.from({ length: 5_000 }, (_, at) => `${at} `))
  })

  test('that are not waited for end the run before they fill the memory', async () => {
    let signal: AbortSignal | undefined
    const careless = defineExecutor({
      version: '1',
      async run(_, ctx) {
        signal = ctx.signal
        for (let at = 0; at < 100_000; at += 1) void ctx.emit({ type: 'progress', done: at })
        await new Promise(() => {})
      },
    })
    await using bench = await openBench({ careless })
    const run = await bench.run({ executor: 'careless' })
    const { error, lastSeq } = await run.terminal
    expect(error).toMatchObject({ code: 'EXECUTOR_ERROR', message: expect.stringContaining('await') })
    expect([lastSeq, signal?.aborted]).toEqual([1_024, true])
  })

  test('are complete and in order over a lost connection', async () => {
    const writer = defineExecutor({
      version: '1',
      async run(_, { emit }) {
        for (let at = 0; at < 2_000; at += 1) await emit({ type: 'data', name: 'n', data: at })
      },
    })
    // Its clock stands still: no heartbeat shows what is missing.
    await using bench = await openBench({ writer }, { clock: createManualClock() })
    const run = await bench.run({ executor: 'writer' })
    await run.seen(100)
    bench.bus.cut(bench.address)
    await settle()
    bench.bus.restore(bench.address)
    expect((await run.terminal).status).toBe('completed')
    expect(run.events.map((event) => event['data'])).toEqual(Array.from({ length: 2_000 }, (_, at) => at))
  })

  test('that are not shaped as their type, or not JSON, are refused where they are emitted', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor })
    const run = await bench.run({ executor: 'it' })
    await settle()
    const { emit } = first().ctx
    // @ts-expect-error A text delta needs a text.
    await expect(emit({ type: 'text-delta' })).rejects.toMatchObject({ code: 'BAD_FRAME' })
    // @ts-expect-error JSON has no bigints.
    await expect(emit({ type: 'data', name: 'n', data: 1n })).rejects.toMatchObject({ code: 'BAD_FRAME' })
    first().end()
    expect((await run.terminal).lastSeq).toBe(0)
  })
})

describe('steering', () => {
  test('is delivered to an executor that waits for it, and is in the transcript before that', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor })
    const run = await bench.run({ executor: 'it' })
    await settle()
    const texts = first().ctx.steering[Symbol.asyncIterator]()
    const next = [texts.next(), texts.next()]
    expect(await run.steer('left')).toBe('delivered')
    expect(await run.steer('right', 'queue')).toBe('queued')
    expect(await Promise.all(next)).toEqual([
      { done: false, value: { text: 'left', mode: 'now' } },
      { done: false, value: { text: 'right', mode: 'queue' } },
    ])
    first().end()
    await run.terminal
    expect(await texts.next()).toEqual({ done: true, value: undefined })
    expect(run.events).toEqual(
      ['left', 'right'].map((content) => ({
        type: 'message',
        message: { id: expect.any(String), role: 'user', content },
      })),
    )
    expect(await run.steer('too late')).toBe('not-live')
    await settle()
    expect(bench.bus.stats()).toMatchObject({ messages: 0, held: 0 })
  })

  test('that nobody waits for is queued at once, and becomes an entry when it is taken', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor })
    const run = await bench.run({ executor: 'it' })
    await settle()
    expect(await run.steer('left')).toBe('queued')
    expect(await run.steer('right')).toBe('queued')
    expect(run.events).toEqual([])
    const texts = first().ctx.steering[Symbol.asyncIterator]()
    expect(await texts.next()).toEqual({ done: false, value: { text: 'left', mode: 'now' } })
    first().end()
    await run.terminal
    // The second one was not taken: that it has no entry tells the runner.
    expect(run.events).toMatchObject([{ type: 'message', message: { content: 'left' } }])
    expect(await texts.next()).toEqual({ done: true, value: undefined })
  })

  test('two texts at once for one that waits: the first is delivered, the second queued', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor })
    const run = await bench.run({ executor: 'it' })
    await settle()
    const next = first().ctx.steering[Symbol.asyncIterator]().next()
    expect(await Promise.all([run.steer('left'), run.steer('right')])).toEqual(['delivered', 'queued'])
    expect(await next).toMatchObject({ value: { text: 'left' } })
    first().end()
  })

  test('is queued while its entry waits for room: its sender may be the one who has to read', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor })
    const run = await bench.run({ executor: 'it' }, { reading: false })
    await settle()
    const { emit, steering } = first().ctx
    for (let at = 0; at < 1_024; at += 1) await emit({ type: 'progress', done: at })
    const next = steering[Symbol.asyncIterator]().next()
    expect(await run.steer('left')).toBe('queued')
    run.read()
    expect(await next).toMatchObject({ value: { text: 'left' } })
    first().end()
    await run.terminal
    expect(run.events.at(-1)).toMatchObject({ type: 'message', message: { content: 'left' } })
  })

  test('is left at once by whoever waits for it and leaves; the next text is for others', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor })
    const run = await bench.run({ executor: 'it' })
    await settle()
    const { steering } = first().ctx
    const [leaving, staying] = [steering[Symbol.asyncIterator](), steering[Symbol.asyncIterator]()]
    const waiting = leaving.next()
    const next = staying.next()
    expect(await leaving.return?.()).toEqual({ done: true, value: undefined })
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(await run.steer('left')).toBe('delivered')
    expect(await next).toMatchObject({ value: { text: 'left' } })
    expect(await leaving.next()).toEqual({ done: true, value: undefined })
    await staying.return?.()
    // Nobody waits any more.
    expect(await run.steer('right')).toBe('queued')
    first().end()
    await run.terminal
    expect(run.events).toMatchObject([{ type: 'message', message: { content: 'left' } }])
  })

  test('after a cancel is refused, and whoever waits for it goes on', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor })
    const run = await bench.run({ executor: 'it' })
    await settle()
    const next = first().ctx.steering[Symbol.asyncIterator]().next()
    await run.cancel('x')
    expect(await next).toEqual({ done: true, value: undefined })
    expect(await run.steer('late')).toBe('not-live')
    first().end()
  })
})

describe('secrets', () => {
  test('are there when declared and given, and told apart when not', async () => {
    const { executor, first } = puppet({ secrets: ['given', 'missing', 'constructor', 'PATH'] })
    await using bench = await openBench({ it: executor }, { secrets: { given: 'v', undeclared: 'w' } })
    await bench.run({ executor: 'it' })
    await settle()
    const { secret } = first().ctx
    expect(secret('given')).toBe('v')
    expect(() => secret('missing')).toThrow(
      expect.objectContaining({
        code: 'SECRET_MISSING',
        message:
          `secret "missing": the executor "it" declares it, but the role "test" does not name it: ` +
          `add secrets: ['missing'] to the role, whose runner must have it too`,
      }),
    )
    expect(() => secret('undeclared')).toThrow(
      expect.objectContaining({
        code: 'SECRET_UNDECLARED',
        message:
          `secret "undeclared": the role "test" names it and the runner has it, but the executor "it" does not ` +
          `declare it: add secrets: ['undeclared'] to the executor`,
      }),
    )
    expect(() => secret('nowhere')).toThrow(
      expect.objectContaining({
        code: 'SECRET_UNDECLARED',
        message:
          `secret "nowhere": neither does the executor "it" declare it nor the role "test" name it: ` +
          `add secrets: ['nowhere'] to both; the role's runner must have it too`,
      }),
    )
    // What every object inherits is no secret.
    expect(() => secret('toString')).toThrow(expect.objectContaining({ code: 'SECRET_UNDECLARED' }))
    expect(() => secret('constructor')).toThrow(expect.objectContaining({ code: 'SECRET_MISSING' }))
    // Nor is what its process has in its environment.
    expect(() => secret('PATH')).toThrow(expect.objectContaining({ code: 'SECRET_MISSING' }))
    first().end()
  })
})

describe('coming and going', () => {
  test('a worker shows its role, version and free slots', async () => {
    const { executor, first } = puppet({ slots: 2 })
    const able = { lateBound: ['model'], idempotent: true, suspendable: true } as const
    await using bench = await openBench({ it: { ...executor, ...able } }, { role: 'tester' })
    const changes: PresenceChange[] = []
    bench.runner.peer.watch('tester', (change) => changes.push(change))
    const run = await bench.run({ executor: 'it' })
    await settle()
    first().end()
    await run.terminal
    await settle()
    await bench.worker.drain()
    await settle()
    expect(changes[0]?.presence.serves).toEqual([{ name: 'it', version: '1', ...able }])
    const shown = changes.map(({ state, presence }) => `${state} ${presence.slots} ${presence.load}`)
    expect(shown.filter((line, at) => line !== shown[at - 1])).toEqual([
      'attached 2 0',
      'attached 1 0.5',
      'attached 2 0',
      'attached 0 1',
      'gone 0 1',
    ])
  })

  test('draining refuses new runs, serves what runs, and leaves when that is acknowledged', async () => {
    const { executor, first } = puppet({ slots: 2 })
    await using bench = await openBench({ it: executor })
    const run = await bench.run({ executor: 'it' }, { reading: false })
    await settle()
    let left = false
    const drained = bench.worker.drain().then(() => (left = true))
    const late = await bench.run({ executor: 'it' })
    expect((await late.refused.promise).code).toBe('DRAINING')
    const taken = first().ctx.steering[Symbol.asyncIterator]().next()
    expect(await run.steer('still there')).toBe('delivered')
    await taken
    first().end()
    await run.terminal
    await settle()
    expect(left).toBe(false)
    run.read()
    await drained
    expect(await bench.worker.closed).toMatchObject({ why: 'drained' })
  })

  test('draining waits for a run that takes longer than lingerMs', async () => {
    const clock = createManualClock()
    await using bench = await openBench({ echo }, { clock, lingerMs: 1_000 })
    const run = await bench.run({ executor: 'echo', task: '__sleep_ms:5000' })
    await run.accepted.promise
    let left = false
    const drained = bench.worker.drain().then(() => (left = true))
    await clock.advance(4_999)
    expect([left, run.terminals.length]).toEqual([false, 0])
    await clock.advance(1)
    expect(await run.terminal).toMatchObject({ status: 'completed' })
    await drained
  })

  test('draining answers what it has claimed before it leaves, also a run that cannot be done', async () => {
    const confirmed = Promise.withResolvers<void>()
    await using bench = await openBench({ echo }, { between: (bus) => slowClaims(bus, confirmed.promise) })
    const run = await bench.run({ executor: 'nope' })
    await settle()
    const drained = bench.worker.drain()
    await settle()
    confirmed.resolve()
    await drained
    await settle()
    expect(run.terminals).toMatchObject([{ error: { code: 'UNKNOWN_EXECUTOR' } }])
  })

  test('draining without a bus ends lingerMs after the last run', async () => {
    const clock = createManualClock()
    await using bench = await openBench({ echo }, { clock, lingerMs: 1_000 })
    const run = await bench.run({ executor: 'echo', task: '__sleep_ms:500' })
    await run.accepted.promise
    bench.bus.cut(bench.address)
    const drained = bench.worker.drain()
    await clock.advance(500)
    await clock.advance(999)
    let left = false
    void drained.then(() => (left = true))
    await settle()
    expect(left).toBe(false)
    await clock.advance(1 + 500)
    await drained
  })

  test('closing ends a drain that waits for the bus', async () => {
    const clock = createManualClock()
    await using bench = await openBench({ echo }, { clock })
    bench.bus.cut(bench.address)
    let left = false
    const drained = bench.worker.drain().then(() => (left = true))
    await clock.advance(5_000)
    expect(left).toBe(false)
    const closed = bench.worker.close()
    await clock.advance(500)
    await Promise.all([drained, closed, bench.worker.closed])
  })

  test('draining with a grace cancels what has not ended by then', async () => {
    const clock = createManualClock()
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor }, { clock })
    const run = await bench.run({ executor: 'it' })
    await settle()
    const drained = bench.worker.drain({ graceMs: 2_000 })
    await clock.advance(1_999)
    expect(first().ctx.signal.aborted).toBe(false)
    await clock.advance(1)
    first().end(abortOf(first().ctx))
    expect((await run.terminal).status).toBe('cancelled')
    await drained
  })

  test('closing cancels with the given grace and leaves, also when nobody acknowledges; no timer stays', async () => {
    const clock = createManualClock()
    const { executor, runs } = puppet({ slots: 2 })
    await using bench = await openBench({ it: executor }, { clock })
    const payload = encodeMessage('history', { runId: 'h1', epoch: 1, part: 1, parts: 2, messages: [] })
    await bench.runner.peer.send({ to: bench.address, id: 'history-h1-1-1', kind: 'history', payload })
    const both = [
      await bench.run({ executor: 'it' }, { reading: false }),
      await bench.run({ executor: 'it' }, { reading: false }),
    ] as const
    await settle()
    const closed = bench.worker.close({ graceMs: 300, reason: 'owner gone' })
    await settle()
    runs[0]?.end()
    await both[0].terminal
    // Who needs no grace has none.
    expect(clock.timers.filter(({ inMs }) => inMs === 300)).toHaveLength(1)
    await clock.advance(300)
    expect(runs.map(({ ctx }) => ctx.signal.aborted)).toEqual([true, true])
    for (const run of both) expect(await run.terminal).toMatchObject({ status: 'cancelled', reason: 'owner gone' })
    await clock.advance(1_000)
    await closed
    expect(await bench.worker.closed).toEqual({ why: 'closed', message: 'owner gone' })
    expect(clock.timers.length).toBe(0)
  })

  test('closing leaves a run no more grace than is its own', async () => {
    const clock = createManualClock()
    const { executor } = puppet()
    await using bench = await openBench({ it: executor }, { clock, cancelGraceMs: 2_000 })
    const run = await bench.run({ executor: 'it', cancelGraceMs: 1_000 })
    await settle()
    const closed = bench.worker.close({ graceMs: 3_000 })
    await clock.advance(999)
    expect(run.terminals).toHaveLength(0)
    await clock.advance(1)
    expect(await run.terminal).toMatchObject({ status: 'cancelled' })
    await clock.advance(3_000)
    await closed
  })

  test('a worker without slots takes nothing', async () => {
    await using bench = await openBench({ echo }, { slots: 0 })
    expect(bench.worker.freeSlots).toBe(0)
    expect((await (await bench.run({ executor: 'echo' })).refused.promise).code).toBe('BUSY')
  })

  test('a worker leaves when it was idle for long enough, counted from its last run', async () => {
    const clock = createManualClock()
    await using bench = await openBench({ echo }, { clock, idleMs: 10_000 })
    await clock.advance(9_000)
    await (
      await bench.run({ executor: 'echo', task: 'x' })
    ).terminal
    await clock.advance(9_999)
    expect(bench.worker.freeSlots).toBe(256)
    await clock.advance(1)
    expect(await bench.worker.closed).toMatchObject({ why: 'idle' })
  })

  test('a worker is not idle while an executor that ignored its cancel still holds its slot', async () => {
    const clock = createManualClock()
    const { executor, first } = puppet()
    await using bench = await openBench(
      { it: executor },
      { clock, cancelGraceMs: 100, lingerMs: 1_000, idleMs: 10_000 },
    )
    const run = await bench.run({ executor: 'it' })
    await settle()
    await run.cancel('not needed')
    await clock.advance(100)
    expect(await run.terminal).toMatchObject({ status: 'cancelled' })
    let left = false
    void bench.worker.closed.then(() => (left = true))
    await clock.advance(100_000)
    expect([left, bench.worker.freeSlots]).toEqual([false, 0])
    first().end()
    await clock.advance(9_999)
    expect([left, bench.worker.freeSlots]).toEqual([false, 1])
    await clock.advance(1)
    expect(await bench.worker.closed).toMatchObject({ why: 'idle' })
  })

  test('a resident gives up what it has from a runner that another life replaced while it was away', async () => {
    const { executor, first } = puppet()
    await using bench = await openBench({ it: executor }, { resident: { labels: {}, host: 'there' } })
    const attach = (incarnation: string) =>
      bench.bus.attach({ address: 'runner', incarnation, lifetime: 'named', presence: { role: 'runner' } })
    const runner = await attach('life-1')
    await runner.send({ to: bench.address, id: 'run-r-1', kind: 'run', payload: orderOf('runner') })
    await settle()
    bench.bus.cut(bench.address)
    await attach('life-2')
    await settle()
    expect(first().ctx.signal.aborted).toBe(false)
    bench.bus.restore(bench.address)
    await settle()
    expect(abortOf(first().ctx).message).toBe('its runner is gone')
    first().end()
  })

  test('a fenced worker aborts its runs at once and says nothing more', async () => {
    for (const end of [
      ({ runner, address }: Bench) => runner.peer.fence({ address, incarnation: 'bench' }),
      // Who shows itself in its place is believed.
      ({ bus, address }: Bench) => bus.attach({ address, incarnation: 'bench', lifetime: 'incarnation' }),
    ]) {
      const { executor, first } = puppet()
      await using bench = await openBench({ it: executor })
      const run = await bench.run({ executor: 'it' })
      await settle()
      await end(bench)
      expect(await bench.worker.closed).toMatchObject({ why: 'fenced' })
      expect(first().ctx.signal.aborted).toBe(true)
      await settle()
      expect(run.terminals).toHaveLength(0)
    }
  })
})
