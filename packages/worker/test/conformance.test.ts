import { createServer, type Server } from 'node:net'
import { command, defineExecutor, echo, type Executor } from '@greenroom/worker'
import { executorConformance, type ConformanceOptions } from '@greenroom/worker/testing'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'

const samples: Record<string, { executor: Executor; options: ConformanceOptions }> = {
  echo: {
    executor: echo,
    options: { sample: { task: 'hello __sleep_ms:5 world' }, slow: { task: 'well __sleep_ms:60000' } },
  },
  command: {
    executor: command,
    options: {
      sample: {
        input: { program: 'sh', args: ['-c', 'for i in 1 2 3; do echo "line $i"; echo "error $i" >&2; done'] },
      },
      slow: { input: { program: 'sh', args: ['-c', 'trap "" TERM; echo started; sleep 60; sleep 60'] } },
      invalidInput: { program: '' },
    },
  },
}

describe.for(Object.keys(samples))('%s', (name) => {
  const { executor, options } = samples[name] ?? expect.fail()
  test.for(executorConformance(executor, options))('$name', ({ run }) => run())
})

describe('an executor that does not conform fails the case that says so', () => {
  const options: ConformanceOptions = { sample: {}, slow: { task: 'slow' }, cancelGraceMs: 200 }
  const failing = async (executor: Executor, more: Partial<ConformanceOptions> = {}): Promise<string[]> => {
    const names: string[] = []
    for (const { name, run } of executorConformance(executor, { ...options, ...more }))
      await run().catch(() => names.push(name))
    return names
  }
  const untilAborted = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

  test('none of them for one that conforms', async () => {
    const good = defineExecutor({
      version: '1',
      secrets: ['key'],
      async run({ task }, ctx) {
        ctx.secret('key')
        for (let at = 0; at < 30; at += 1) await ctx.emit({ type: 'progress', done: at })
        if (task === 'slow') await untilAborted(ctx.signal)
      },
    })
    expect(await failing(good)).toEqual([])
  })

  test('a question that it cannot answer', async () => {
    const clueless = defineExecutor({
      version: '1',
      async run({ task }, ctx) {
        ctx.onAsk(() => Promise.reject(new Error('no idea')))
        if (task === 'slow') await untilAborted(ctx.signal)
      },
    })
    expect(await failing(clueless)).toEqual(['answers what it is asked, or says that it does not'])
  })

  test('an output that its schema refuses', async () => {
    const wrong = defineExecutor({
      version: '1',
      output: z.string().min(3),
      async run({ task }, { signal }) {
        if (task === 'slow') await untilAborted(signal)
        return { output: 'no' }
      },
    })
    expect(await failing(wrong)).toEqual(['completes its sample, twice in one worker'])
  })

  test('a cancel that is ignored', async () => {
    const deaf = defineExecutor({
      version: '1',
      async run({ task }) {
        if (task === 'slow') await new Promise((resolve) => setTimeout(resolve, 1_000))
      },
    })
    expect(await failing(deaf)).toEqual(['ends within the cancel grace, with its programs'])
  })

  test('events that nobody waits for', async () => {
    const hasty = defineExecutor({
      version: '1',
      async run({ task }, { emit, signal }) {
        for (let at = 0; at < 30; at += 1) void emit({ type: 'progress', done: at })
        if (task === 'slow') await untilAborted(signal)
      },
    })
    expect(await failing(hasty)).toEqual(['waits for a slow reader before it goes on or ends'])
  })

  test('events after its end', async () => {
    const late = defineExecutor({
      version: '1',
      async run({ task }, { emit, signal }) {
        setTimeout(() => void emit({ type: 'progress', done: 1 }), 20)
        if (task === 'slow') await untilAborted(signal)
      },
    })
    expect(await failing(late)).toEqual(['tells nothing once it has ended'])
  })

  test('a secret that it shows, and one that it does not declare', async () => {
    const talks = defineExecutor({
      version: '1',
      secrets: ['key'],
      async run({ task }, { secret, signal }) {
        if (task === 'slow') await untilAborted(signal)
        return { text: secret('key') }
      },
    })
    expect(await failing(talks)).toEqual(['asks for declared secrets only, and shows none'])
    const asks = defineExecutor({
      version: '1',
      async run({ task }, { secret, signal }) {
        if (task === 'slow') await untilAborted(signal)
        return { text: secret('key') }
      },
    })
    expect(await failing(asks)).toContain('asks for declared secrets only, and shows none')
  })

  test('a timer or a socket that it leaves behind', async () => {
    await using left = new AsyncDisposableStack()
    const timer = defineExecutor({
      version: '1',
      async run({ task }, { signal }) {
        const late = setTimeout(() => {}, 600_000)
        left.defer(() => clearTimeout(late))
        if (task === 'slow') await untilAborted(signal)
      },
    })
    expect(await failing(timer)).toEqual([
      'leaves no timer, socket or program behind when it is done',
      'leaves no timer, socket or program behind when it is cancelled',
    ])
    const socket = defineExecutor({
      version: '1',
      async run({ task }, { signal }) {
        if (task === 'slow') await untilAborted(signal)
        left.use(createServer().listen(0, '127.0.0.1'))
      },
    })
    expect(await failing(socket)).toEqual(['leaves no timer, socket or program behind when it is done'])
  })

  test('a sleep that goes on after its cancel', async () => {
    await using left = new AsyncDisposableStack()
    const sleeper = defineExecutor({
      version: '1',
      async run({ task }, { signal }) {
        if (task !== 'slow') return
        const asleep = new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, 600_000)
          left.defer(() => clearTimeout(timer))
        })
        await Promise.race([asleep, untilAborted(signal)])
      },
    })
    expect(await failing(sleeper)).toEqual(['leaves no timer, socket or program behind when it is cancelled'])
  })

  test('not what it keeps for all its runs: it does not grow', async () => {
    let connection: Server | undefined
    await using left = new AsyncDisposableStack()
    const pooled = defineExecutor({
      version: '1',
      async run({ task }, { signal }) {
        connection ??= left.use(createServer().listen(0, '127.0.0.1'))
        if (task === 'slow') await untilAborted(signal)
      },
    })
    expect(await failing(pooled)).toEqual([])
  })

  test('an input that should have been refused', async () => {
    const takesAll = defineExecutor({
      version: '1',
      async run({ task }, { signal }) {
        if (task === 'slow') await untilAborted(signal)
      },
    })
    expect(await failing(takesAll, { invalidInput: 7 })).toEqual(['refuses an input that its schema does not allow'])
  })
})
