import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { connectBus, createMemoryBus } from '@greenroom/bus'
import { settle } from '@greenroom/bus/testing'
import type { JsonValue } from '@greenroom/proto'
import { defineExecutor, echo, serveWorker, startWorker, type InferInput, type InferOutput } from '@greenroom/worker'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { openBench } from '../src/testing/bench.ts'

const release = defineExecutor({
  version: '1',
  input: z.object({ tag: z.string(), force: z.boolean().default(false) }),
  output: z.object({ sha: z.string() }),
  async run({ input, workspace }, ctx) {
    expectTypeOf(input).toEqualTypeOf<{ tag: string; force: boolean }>()
    await ctx.emit({ type: 'text-delta', text: `tagging ${input.tag}\n` })
    if (workspace === '/') return ctx.fail('DENIED', 'not there')
    const git = (a: string[]) => promisify(execFile)('git', a, { cwd: workspace, signal: ctx.signal })
    await git(['tag', input.tag])
    return { output: { sha: (await git(['rev-parse', 'HEAD'])).stdout.trim() }, text: `tagged ${input.tag}` }
  },
})

const run = async (): Promise<void> => {}

/** Everything that others see of an executor. */
const declared = { version: '2', lateBound: ['model' as const], idempotent: true, suspendable: true }

/** What a worker is started with. */
const started = {
  bus: { attach: () => expect.fail('it must not come so far') },
  executors: { echo },
  provision: {
    version: 1,
    bus: { url: 'ws://x', token: '' },
    address: 'w',
    incarnation: 'i',
    role: 'r',
    executors: [],
  },
  platform: { env: {}, log: () => {}, spawn: () => expect.fail('nothing to start') },
}

const portOf = (server: Server): number => {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : expect.fail('it does not listen')
}

describe('defineExecutor', () => {
  test('infers what a caller gives and gets from the schemas', () => {
    expectTypeOf<InferInput<typeof release>>().toEqualTypeOf<{ tag: string; force?: boolean | undefined }>()
    expectTypeOf<InferOutput<typeof release>>().toEqualTypeOf<{ sha: string }>()
    expectTypeOf<InferInput<typeof echo>>().toEqualTypeOf<JsonValue | undefined>()
    expectTypeOf<InferOutput<typeof echo>>().toEqualTypeOf<JsonValue>()
  })

  test('demands an output where there is a schema for one, and only there', () => {
    defineExecutor({ version: '1', async run() {} })
    defineExecutor({ version: '1', run: async () => ({ output: [1, { two: null }], usage: { rounds: 1 } }) })
    // @ts-expect-error The output is missing.
    defineExecutor({ version: '1', output: z.string(), run: async () => ({ text: '' }) })
    // @ts-expect-error The output is of the wrong type.
    defineExecutor({ version: '1', output: z.string(), run: async () => ({ output: 1 }) })
  })

  test('fills in every default', () => {
    expect(defineExecutor({ version: '3', async run() {} })).toEqual({
      version: '3',
      input: undefined,
      output: undefined,
      secrets: [],
      lateBound: [],
      slots: 1,
      idempotent: false,
      suspendable: false,
      run: expect.any(Function),
    })
  })

  test('keeps what is declared', () => {
    const all = { ...declared, input: z.string(), output: z.string(), secrets: ['A'], slots: 3 }
    expect(defineExecutor({ ...all, run: async () => ({ output: '' }) })).toMatchObject(all)
  })

  test.for<readonly [string, unknown, RegExp]>([
    ['nothing', undefined, /^definition: .*expected object/],
    ['no version', { run }, /^definition\.version: .*expected string/],
    [
      'a misspelt input',
      { version: '1', run, imput: z.string() },
      /^definition: "imput" must be one of version, input, /,
    ],
    ['a misspelt version', { vesion: '1', run }, /^definition: "vesion" must be one of/],
    ['misspelt slots', { version: '1', run, slts: 2 }, /^definition: "slts" must be one of/],
    ['no slots', { version: '1', run, slots: 0 }, /^definition\.slots: /],
    ['an input that is no schema', { version: '1', run, input: {} }, /^definition\.input: must be a Standard Schema/],
    ['an output that is null', { version: '1', run, output: null }, /^definition\.output: must be a Standard Schema/],
    ['no run', { version: '1' }, /^definition\.run: must be a function/],
    ['misspelt folders', { version: '1', run, lateBound: ['workspce'] }, /^definition\.lateBound\.0: .*"workspace"/],
    ['a text for secrets', { version: '1', run, secrets: 'key' }, /^definition\.secrets: /],
    ['a text for a flag', { version: '1', run, idempotent: 'yes' }, /^definition\.idempotent: /],
  ])('refuses %s by name', (...[[, definition, message]]) => {
    const define = () => Reflect.apply(defineExecutor, undefined, [definition])
    expect(define).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS', message: expect.stringMatching(message) }))
  })

  test('takes a schema that is a function, methods of a class, and an executor to change', async () => {
    class Definition {
      version = '1'
      input = Object.assign(() => {}, { '~standard': z.string()['~standard'] })
      async run() {
        return { text: `of ${this.version}` }
      }
    }
    const changed = defineExecutor({ ...defineExecutor(new Definition()), version: '2', slots: 2 })
    expect(changed).toMatchObject({ version: '2', slots: 2 })
    await using bench = await openBench({ changed })
    expect(await (await bench.run({ executor: 'changed', input: '' })).terminal).toMatchObject({ text: 'of 1' })
  })
})

describe('a worker', () => {
  const wrong: readonly (readonly [string, unknown, RegExp])[] = [
    ['nothing', undefined, /^options: .*expected object/],
    ['no executors', {}, /^options\.executors: /],
    ['a list of executors', { executors: [echo] }, /^options\.executors: /],
    ['misspelt executors', { exekutors: { echo } }, /^options: "exekutors" must be one of/],
    [
      'a definition for an executor',
      { executors: { echo, it: { version: '1', run } } },
      /^options\.executors\.it: must be what defineExecutor gave/,
    ],
  ]

  test.for(wrong)('that is given %s does not serve', async ([, options, message]) => {
    const refusal = { code: 'BAD_OPTIONS', message: expect.stringMatching(message) }
    await expect(Reflect.apply(serveWorker, undefined, [options])).rejects.toMatchObject(refusal)
  })

  test.for<readonly [string, object | undefined, RegExp]>([
    ...wrong.map(
      ([what, given, message]) =>
        [what, given === undefined ? given : { ...started, executors: undefined, ...given }, message] as const,
    ),
    ['no bus', { ...started, bus: undefined }, /^options\.bus: must have attach/],
    ['a clock that is none', { ...started, clock: Date }, /^options\.clock: must have now, monotonic, timer/],
    ['a document without an address', { ...started, provision: {} }, /^options\.provision\.address: /],
  ])('that is given %s does not start', async ([, options, message]) => {
    const refusal = { code: 'BAD_OPTIONS', message: expect.stringMatching(message) }
    await expect(Reflect.apply(startWorker, undefined, [options])).rejects.toMatchObject(refusal)
  })

  test('stops waiting for a bus that does not answer', async () => {
    await using server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    await using bus = connectBus({ url: `ws://127.0.0.1:${portOf(server)}`, token: 'none' })
    const stop = new AbortController()
    const starting = startWorker({ ...started, bus, signal: stop.signal })
    const [socket]: Socket[] = await once(server, 'connection')
    stop.abort()
    await expect(starting).rejects.toMatchObject({ code: 'ABORTED' })
    socket?.destroy()
  })

  test.for<readonly [number, readonly string[], slots?: number]>([
    [4, ['four']],
    [2, ['two', 'four']],
    [1, ['two', 'plain', 'four']],
    [3, ['four'], 3],
    [1, []],
    [1, ['four', 'nowhere']],
  ])('takes %d runs at once as %j', async ([free, executors, slots]) => {
    await using bus = createMemoryBus()
    const of = (more: object) => defineExecutor({ version: '1', run, ...more })
    await using worker = await startWorker({
      ...started,
      bus,
      executors: { two: of({ slots: 2 }), four: of({ slots: 4 }), plain: of({}) },
      provision: { ...started.provision, executors: [...executors], ...(slots === undefined ? {} : { slots }) },
    })
    expect(worker.freeSlots).toBe(free)
  })

  test('shows what it serves as that was declared, its labels, where it is, and its version', async () => {
    await using bus = createMemoryBus()
    const seen: unknown[] = []
    const watcher = await bus.attach({ address: 'watcher', incarnation: 'i', lifetime: 'incarnation' })
    watcher.watch('r', ({ presence }) => seen.push(presence))
    const labels = { gpu: 'big' }
    await using _worker = await startWorker({
      ...started,
      bus,
      executors: { it: defineExecutor({ ...declared, slots: 2, run }) },
      provision: { ...started.provision, executors: ['it'], resident: { labels, host: 'here' } },
      platform: { ...started.platform, version: '9' },
    })
    await settle()
    const serves = [{ name: 'it', ...declared }]
    expect(seen.at(-1)).toEqual({ role: 'r', labels, host: 'here', version: '9', slots: 2, load: 0, serves })
  })
})
