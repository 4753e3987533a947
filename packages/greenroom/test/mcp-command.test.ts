/** `greenroom mcp`, driven by the official client over the pipes of a real process. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { expect, test } from 'vitest'
import { isAlive, start, temporaryFolder } from './program.ts'

const bin = fileURLToPath(new URL('../src/bin.ts', import.meta.url))
const agents = fileURLToPath(new URL('delegate/agents.ts', import.meta.url))
const time = { timeout: 120_000 }

interface Parent extends AsyncDisposable {
  readonly client: Client
  readonly pid: number
  /** What its standard error says so far. */
  readonly said: () => string
  /** Calls a tool; gives what a model would read. */
  readonly call: (name: string, args?: Record<string, unknown>, options?: { signal?: AbortSignal }) => Promise<Answer>
}

type Answer = Readonly<Record<string, unknown>>

/** Connects a client to a program of its own. */
async function connect(data?: string): Promise<Parent> {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: ['--conditions=@greenroom/source', bin, 'mcp', agents],
    env: { PATH: process.env['PATH'] ?? '', ...(data === undefined ? {} : { DELEGATE_DATA: data }) },
    stderr: 'pipe',
  })
  let said = ''
  transport.stderr?.on('data', (chunk) => (said += String(chunk)))
  const client = new Client({ name: 'test', version: '1' })
  await client.connect(transport)
  return {
    client,
    pid: transport.pid ?? 0,
    said: () => said,
    async call(name, args = {}, options = {}) {
      const { content, isError = false } = await client.callTool({ name, arguments: args }, options)
      const [part] = content
      const answer: unknown = JSON.parse(part?.type === 'text' ? part.text : '')
      expect(isError).toBe(typeof answer === 'object' && answer !== null && 'error' in answer)
      return Object.fromEntries(Object.entries(answer ?? {}))
    },
    [Symbol.asyncDispose]: () => client.close(),
  }
}

async function until<T>(look: () => T | Promise<T>, isIt: (value: T) => boolean): Promise<T> {
  const end = performance.now() + 30_000
  for (;;) {
    const value = await look()
    if (isIt(value)) return value
    if (performance.now() > end) throw new Error(`it did not come about: ${JSON.stringify(value)}`)
    await sleep(20)
  }
}

function pidsIn(ledger: string): number[] {
  if (!existsSync(ledger)) return []
  const lines = readFileSync(ledger, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map(Number)
}

test('a client starts, steers, asks, awaits, cancels and lists children, and they have their own', time, async () => {
  await using parent = await connect()
  const { tools } = await parent.client.listTools()
  expect(tools.map(({ name }) => name)).toEqual(['spawn', 'send', 'ask', 'await', 'cancel', 'list'])
  const spawn = tools[0]
  expect(spawn?.description).toContain('- worker: Does one thing')
  expect(spawn?.inputSchema.properties).toMatchObject({
    role: { enum: ['worker', 'lead'] },
    // As the executors in the worker's file declare it.
    input: {
      anyOf: [
        { title: 'input of worker', properties: { do: { enum: ['say', 'fail', 'listen', 'linger'] } } },
        { title: 'input of lead', type: 'string' },
      ],
    },
  })

  const [a, b, c, d] = await Promise.all([
    parent.call('spawn', { role: 'worker', task: 'listen', input: { do: 'listen' }, key: 'a' }),
    parent.call('spawn', { role: 'worker', task: 'fall', input: { do: 'fail' } }),
    parent.call('spawn', { role: 'worker', input: { do: 'linger' } }),
    parent.call('spawn', { role: 'lead', task: 'help' }),
  ])
  expect(a).toEqual({ runId: expect.stringMatching(/./), key: 'a', role: 'worker' })
  expect(await parent.call('ask', { runId: a['runId'], question: 'how far?' })).toEqual({
    runId: a['runId'],
    answer: 'listen says: how far?',
  })
  const waiting = parent.call('await', { runIds: [a['runId'], b['runId']] })
  expect(await parent.call('send', { runId: a['runId'], text: 'hello' })).toMatchObject({
    status: expect.stringMatching(/^(delivered|queued)$/),
  })
  expect(await waiting).toEqual({
    ended: [
      { runId: a['runId'], key: 'a', role: 'worker', status: 'completed', text: 'heard hello' },
      { ...b, status: 'failed', code: 'NO_LUCK', message: 'could not fall', retry: 'later' },
    ],
  })
  expect(await parent.call('await', { runIds: [c['runId']], waitSeconds: 0 })).toEqual({
    ended: [],
    running: [c['runId']],
    note: '1 still running: await again',
  })
  await parent.call('cancel', { runId: c['runId'], reason: 'enough' })
  expect(await parent.call('await', { runIds: [c['runId']] })).toEqual({
    ended: [{ ...c, status: 'cancelled', reason: 'enough' }],
  })

  const { ended } = await parent.call('await', { runIds: [d['runId']] })
  const grandchild = { runId: expect.stringMatching(/./), key: 'first', role: 'helper' }
  expect(ended).toEqual([
    {
      ...d,
      status: 'completed',
      text: '',
      output: [
        { error: { code: 'UNKNOWN_ROLE', message: 'no role "lead"; there are: helper', retry: 'never' } },
        { ended: [], running: [grandchild.runId], note: '1 still running: await again' },
        { runId: grandchild.runId, answer: 'help says: how far?' },
        { runId: grandchild.runId, status: expect.stringMatching(/^(delivered|queued)$/) },
        { ended: [{ ...grandchild, status: 'completed', text: 'heard hello' }] },
        { children: [{ ...grandchild, status: 'completed' }] },
      ],
    },
  ])
  const { children } = await parent.call('list')
  expect(children).toHaveLength(4)
  expect(children).toEqual(
    expect.arrayContaining([
      { ...a, status: 'completed' },
      { ...b, status: 'failed' },
      { ...c, status: 'cancelled' },
      { ...d, status: 'completed' },
    ]),
  )
  // Both modules wrote to standard output when they were imported: the client got none of it.
  expect(parent.said()).toContain('the file is imported\n')
  expect(parent.said()).toContain('the worker file is imported\n')
})

test('what goes wrong is told by its code', time, async () => {
  await using parent = await connect()
  const code = async (name: string, args: Record<string, unknown>): Promise<unknown> =>
    (await parent.call(name, args))['error']
  expect(await code('spawn', { role: 'helper' })).toEqual({
    code: 'UNKNOWN_ROLE',
    message: 'no role "helper"; there are: worker, lead',
    retry: 'never',
  })
  expect(await code('spawn', { role: 'worker', input: { do: 'dance' } })).toMatchObject({
    code: 'INPUT_INVALID',
    message: expect.stringMatching(/^what "worker" is given does not fit: input\.do: /),
  })
  for (const [name, args] of Object.entries({
    send: { runId: 'x', text: '' },
    cancel: { runId: 'x' },
    await: { runIds: ['x'] },
  }))
    expect(await code(name, args)).toMatchObject({ code: 'UNKNOWN_RUN' })
})

test('a request that is cancelled ends the waiting, and not the child', time, async () => {
  await using parent = await connect()
  const { runId } = await parent.call('spawn', { role: 'worker', input: { do: 'listen' } })
  const abort = new AbortController()
  const waiting = parent.call('await', { runIds: [runId] }, { signal: abort.signal })
  await until(
    () => parent.call('list'),
    ({ children }) => JSON.stringify(children).includes('running'),
  )
  abort.abort('no longer')
  await expect(waiting).rejects.toThrow('no longer')
  await parent.call('send', { runId, text: 'still there?' })
  expect(await parent.call('await', { runIds: [runId] })).toMatchObject({ ended: [{ text: 'heard still there?' }] })
})

test('killed, it leaves no worker, and its next life knows the children', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  const data = join(folder.path, 'data')
  let runId: unknown
  {
    await using parent = await connect(data)
    ;({ runId } = await parent.call('spawn', { role: 'worker', input: { do: 'linger', ledger }, key: 'k' }))
    const [pid = 0] = await until(
      () => pidsIn(ledger),
      ({ length }) => length === 1,
    )
    expect(isAlive(pid)).toBe(true)
    process.kill(parent.pid, 'SIGKILL')
    await until(
      () => isAlive(pid),
      (alive) => !alive,
    )
  }
  await using next = await connect(data)
  const { ended } = await next.call('await', { runIds: [runId] })
  expect(ended).toMatchObject([{ runId, status: 'failed', code: expect.stringMatching(/WORKER_LOST|OUTCOME_UNKNOWN/) }])
  expect((await next.call('list'))['children']).toEqual([{ runId, key: 'k', role: 'worker', status: 'failed' }])
})

test.each(['the end of its input', 'SIGTERM'] as const)('%s ends it, and its workers', time, async (how) => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  await using parent = await connect()
  await parent.call('spawn', { role: 'worker', input: { do: 'linger', ledger } })
  const [pid = 0] = await until(
    () => pidsIn(ledger),
    ({ length }) => length === 1,
  )
  if (how === 'SIGTERM') process.kill(parent.pid, how)
  else await parent.client.close()
  await until(
    () => [pid, parent.pid].filter(isAlive),
    ({ length }) => length === 0,
  )
  expect(parent.said()).not.toContain('Error')
})

test.each([
  ['there is no such file', undefined, /^greenroom: cannot import .*agents\.ts: Cannot find module/],
  ['it does not parse', 'export default {', /^greenroom: cannot import .*agents\.ts: .*\(\/.*agents\.ts:1\)\n$/],
  ['it throws', 'const a = 1\nnull.b', /^greenroom: cannot import .*agents\.ts: .*\(\/.*agents\.ts:2:6\)\n$/],
  ['it exports nothing', 'export const runner = {}', /agents\.ts must have a default export \{ runner, delegates \}/],
  [
    'it names a role that there is not',
    'export default { runner: { roles: { a: { executor: "a" } } }, delegates: { b: { description: "b" } } }',
    /agents\.ts: delegates\.b is none of the runner's roles: a\n$/,
  ],
  [
    'it says nothing of a role',
    'export default { runner: { roles: { a: { executor: "a" } } }, delegates: { a: {} } }',
    /agents\.ts: delegates\.a\.description must say what the role is for\n$/,
  ],
  [
    'there is no such worker',
    'export default { runner: { worker: new URL("./none.ts", import.meta.url), roles: { a: { executor: "a" } } }, delegates: { a: { description: "a" } } }',
    /^greenroom: worker must be a file that is there: .*none\.ts is none\n$/m,
  ],
  [
    'the worker has no such executor',
    `export default { runner: { worker: new URL(${JSON.stringify(new URL('delegate/worker.ts', import.meta.url))}), roles: { a: { executor: "a" } } }, delegates: { a: { description: "a" } } }`,
    /exports no executor "a"; there are: work, lead\n$/,
  ],
  [
    'an option is wrong',
    'export default { runner: { worker: 3, roles: { a: { executor: "a" } } }, delegates: { a: { description: "a" } } }',
    /^greenroom: worker must be /,
  ],
])('a file is refused when %s', time, async (_why, text, message) => {
  using folder = temporaryFolder()
  const file = join(folder.path, 'agents.ts')
  if (text !== undefined) writeFileSync(file, text)
  await using program = start(bin, ['mcp', file])
  expect(await program.ended).toEqual({ code: 2, signal: null, stdout: '', stderr: expect.stringMatching(message) })
})
