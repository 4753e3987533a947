/** What a caller that is not compiled, or comes too late, gets: an outcome, never an exception. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { composeRunners, type Run } from '../src/index.ts'
import { temporaryFolder, testRunner } from './fixtures/setup.ts'

test('whatever it is given, run returns a run whose outcome says what is wrong', async () => {
  await using runner = await testRunner()
  // As from JavaScript: past the compiler.
  const untyped = (spec: unknown): Run => Reflect.apply(Reflect.get(runner, 'run'), runner, [spec])
  const wrong: readonly (readonly [spec: unknown, code: string])[] = [
    [undefined, 'UNKNOWN_ROLE'],
    [null, 'UNKNOWN_ROLE'],
    [{}, 'UNKNOWN_ROLE'],
    [{ role: 'echo', signal: {} }, 'BAD_OPTIONS'],
    [{ role: 'echo', signal: null }, 'BAD_OPTIONS'],
    [{ role: 'echo', session: 5 }, 'BAD_OPTIONS'],
    [{ role: 'echo', task: 5 }, 'BAD_OPTIONS'],
    [{ role: 'echo', messages: 'hello' }, 'BAD_OPTIONS'],
    [{ role: 'echo', messages: [null] }, 'BAD_OPTIONS'],
    [{ role: 'add', input: 1n }, 'INPUT_INVALID'],
  ]
  for (const [spec, code] of wrong) expect(await untyped(spec).outcome).toMatchObject({ status: 'failed', code })
  expect(runner.stats()).toMatchObject({ runs: [], ended: wrong.length, processes: 0 })
})

test('what is no part of an order is refused with its name, not ignored', async () => {
  await using runner = await testRunner()
  // As from JavaScript: past the compiler.
  const run = (spec: object): Run => Reflect.apply(Reflect.get(runner, 'run'), runner, [spec])
  const start = (...given: readonly object[]): Promise<Run> =>
    Reflect.apply(Reflect.get(runner, 'start'), runner, given)
  const wrong: readonly (readonly [spec: object, message: RegExp])[] = [
    [{ role: 'echo', worksapce: '/' }, /^run: "worksapce" must be one of role, task, .*workspace/],
    [{ role: 'echo', idempotencyKey: 'x' }, /^run: "idempotencyKey" must be/],
    [{ rol: 'echo' }, /^run: "rol" must be/],
  ]
  for (const [spec, message] of wrong) {
    const outcome = { status: 'failed', code: 'BAD_OPTIONS', message: expect.stringMatching(message) }
    expect(await run(spec).outcome).toMatchObject(outcome)
    expect(await (await start(spec)).outcome).toMatchObject(outcome)
  }
  const order = { role: 'echo', task: 'x' }
  const misspelt = { code: 'BAD_OPTIONS', message: 'options: "idempotencykey" must be one of idempotencyKey' }
  await expect(start(order, { idempotencykey: 'x' })).rejects.toMatchObject(misspelt)
  const attach: unknown = Reflect.apply(Reflect.get(runner, 'attach'), runner, ['x', { atfer: {} }])
  await expect(attach).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  const drained: unknown = Reflect.apply(Reflect.get(runner, 'drain'), runner, [{ gracems: 5 }])
  await expect(drained).rejects.toMatchObject({
    code: 'BAD_OPTIONS',
    message: 'options: "gracems" must be one of graceMs',
  })
  expect(runner.stats()).toMatchObject({ processes: 0 })
})

test('what can be no id is refused by name, wherever one is asked for', async () => {
  await using runner = await testRunner()
  const { approvals, children, sessions } = runner
  const both = composeRunners(runner)
  const calls: readonly (readonly [on: object, name: string, argument?: (id: unknown) => unknown])[] = [
    [runner, 'attach'],
    [both, 'attach'],
    ...[approvals, both.approvals].flatMap((of) => ['get', 'answer', 'revoke'].map((name) => [of, name] as const)),
    [approvals, 'list', (runId) => ({ runId: runId ?? null })],
    ...['send', 'ask', 'cancel'].map((name) => [children, name, (runId: unknown) => ({ runId })] as const),
    [children, 'wait', (runId) => [{ runId }]],
    ...['get', 'describe', 'messages', 'append'].map((name) => [sessions, name] as const),
  ]
  const more = new Map<string, unknown>([
    ['answer', { allow: true }],
    ['describe', {}],
    ['append', []],
    ['send', 'words'],
    ['ask', 'words'],
  ])
  for (const [on, name, argument = (id: unknown) => id] of calls)
    for (const odd of ['', undefined, null, 5, 'é', {}, 'x'.repeat(600)]) {
      // As from JavaScript: past the compiler.
      const call = async (): Promise<unknown> =>
        Reflect.apply(Reflect.get(on, name), on, [argument(odd), more.get(name)])
      await expect(call(), `${name}(${JSON.stringify(odd)})`).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
    }
})

test('a misspelt option of send is refused with its name, of a run in progress, one that is over and one of before', async () => {
  using folder = temporaryFolder()
  const send = (run: Run): Promise<unknown> => Reflect.apply(Reflect.get(run, 'send'), run, ['x', { mdoe: 'queue' }])
  const refused = { code: 'BAD_OPTIONS', message: 'options: "mdoe" must be one of mode' }
  const refusedMode = { code: 'BAD_OPTIONS', message: "options.mode must be 'now' or 'queue'" }
  let id = ''
  {
    await using runner = await testRunner({ dataDir: folder.path })
    const run = runner.run({ role: 'wait', session: 's' })
    id = run.id
    await expect(send(run)).rejects.toMatchObject(refused)
    const later: Promise<unknown> = Reflect.apply(Reflect.get(run, 'send'), run, ['x', { mode: 'later' }])
    await expect(later).rejects.toMatchObject(refusedMode)
    await run.cancel('enough')
    await expect(send(run)).rejects.toMatchObject(refused)
    expect(await runner.sessions.messages('s')).toEqual([])
  }
  await using next = await testRunner({ dataDir: folder.path })
  await expect(send(await next.attach(id))).rejects.toMatchObject(refused)
})

test('a workspace that is not there is refused with its name before a worker is started', async () => {
  using folder = temporaryFolder()
  const workspace = join(folder.path, 'gone')
  await using runner = await testRunner()
  const refused = {
    status: 'failed',
    code: 'BAD_OPTIONS',
    retry: 'never',
    message: `workspace must be a folder that is there: ${workspace} is none`,
  }
  expect(await runner.run({ role: 'echo', task: 'x', workspace }).outcome).toMatchObject(refused)
  writeFileSync(workspace, 'a file')
  expect(await runner.run({ role: 'echo', task: 'x', workspace }).outcome).toMatchObject(refused)
  expect(runner.stats()).toMatchObject({ processes: 0 })
  rmSync(workspace)
  mkdirSync(workspace)
  expect(await runner.run({ role: 'echo', task: 'x', workspace }).outcome).toMatchObject({ status: 'completed' })
})

test('an input that JSON would change in silence is refused with its place, one with undefined properties is sent', async () => {
  await using runner = await testRunner()
  // As from JavaScript: past the compiler.
  const untyped = (input: unknown): Run => Reflect.apply(Reflect.get(runner, 'run'), runner, [{ role: 'add', input }])
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  const wrong: readonly (readonly [input: unknown, message: string])[] = [
    [{ a: 1, b: Number.NaN }, 'input.b: NaN is not JSON'],
    [{ a: [1, undefined] }, 'input.a.1: undefined is not JSON'],
    [{ a: { when: new Date(0) } }, 'input.a.when: a Date is not JSON'],
    [new Map([['a', 1]]), 'input: a Map is not JSON'],
    [{ a: () => 1 }, 'input.a: a function is not JSON'],
    [{ a: 1n }, 'input.a: a bigint is not JSON'],
    [cycle, 'input.self: a cycle is not JSON'],
  ]
  for (const [input, message] of wrong)
    expect(await untyped(input).outcome).toMatchObject({ status: 'failed', code: 'INPUT_INVALID', message })
  expect(runner.stats().processes).toBe(0)
  expect(await untyped({ a: 1, b: 2, c: undefined }).outcome).toMatchObject({ output: { sum: 3 } })
})

test('a message that nobody could read does not get into a transcript', async () => {
  await using runner = await testRunner()
  const untyped = (spec: unknown): Run => Reflect.apply(Reflect.get(runner, 'run'), runner, [spec])
  const fine = { role: 'user', content: 'fine' }
  const messages = [fine, { role: 'nobody', content: 'hello' }, fine]
  const outcome = await untyped({ role: 'echo', task: 'one', session: 's', messages }).outcome
  expect(outcome).toMatchObject({
    code: 'BAD_OPTIONS',
    message: expect.stringMatching(/^messages\.1: .*message\.role/),
  })
  const changed = [{ role: 'user', content: [{ type: 'data', data: { when: new Date(0) } }] }, fine]
  expect(await untyped({ role: 'echo', task: 'one', session: 's', messages: changed }).outcome).toMatchObject({
    code: 'BAD_OPTIONS',
    message: 'messages.0.content.0.data.when: a Date is not JSON',
  })
  expect(await runner.run({ role: 'echo', task: 'two', session: 's' }).outcome).toMatchObject({ status: 'completed' })
})

test('a text for a run that was never started is in the transcript, or refused when nothing is kept any more', async () => {
  const runner = await testRunner()
  const waiting = runner.run({ role: 'wait', session: 'first' })
  const draining = runner.drain({ graceMs: 100 })
  expect(await runner.run({ role: 'echo', session: 'late' }).send('too late')).toBe('not-live')
  expect(await runner.sessions.messages('late')).toMatchObject([{ role: 'user', content: 'too late' }])
  await draining
  expect(await waiting.outcome).toMatchObject({ status: 'cancelled' })
  await expect(runner.run({ role: 'echo' }).send('too late')).rejects.toMatchObject({ code: 'CLOSED' })
})
