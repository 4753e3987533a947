/** Asking runs: children, and the program's own, in real processes. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemRandom, textOf } from '@greenroom/proto'
import { expect, test, vi } from 'vitest'
import { Asking } from '../src/asking.ts'
import { createRunner, type Run, type Runner, type RunnerOptions } from '../src/index.ts'
import type { Predecessor } from '../src/stand-in.ts'
import { openAttempt, ref } from './fixtures/attempt.ts'
import { firstData, temporaryFolder, until } from './fixtures/setup.ts'
import { askedRoles, askedWorker, type Asked } from './fixtures/asked-roles.ts'
import type { Step } from './fixtures/asked.ts'

type Roles = typeof askedRoles

function asking(options: Partial<RunnerOptions<Asked, Roles>> = {}): Promise<Runner<Asked, Roles>> {
  return createRunner({ worker: askedWorker, roles: askedRoles, dataDir: null, quiet: true, ...options })
}

const work: Step = { do: 'spawn', name: 'a', role: 'sage', input: 'work' }
const ask = (questions: string[], more: { mode?: 'steer'; timeoutMs?: number } = {}): Step => ({
  do: 'ask',
  name: 'a',
  questions,
  ...more,
})
const end: Step = { do: 'send', name: 'a', text: 'end' }

async function output<T>(run: Run<T>): Promise<T> {
  const outcome = await run.outcome
  if (outcome.status !== 'completed') throw new Error(JSON.stringify(outcome))
  return outcome.output
}

/** A sage at work. */
async function atWork(runner: Runner<Asked, Roles>) {
  const run = runner.run({ role: 'sage', input: 'work' })
  return { run, pid: Number(await firstData(run, 'pid')) }
}

test('many questions at once are each answered with their own, in whichever order', { timeout: 60_000 }, async () => {
  await using runner = await asking()
  const numbers = Array.from({ length: 64 }, (_, n) => n)
  const questions = numbers.map((n) => `after ${(64 - n) * 5} answer ${n}`)
  const run = runner.run({ role: 'asker', input: [work, ask(questions), end] })
  const [, answers] = await output(run)
  expect(answers).toEqual(numbers.map((n) => `answer ${n}`))
  expect(runner.stats().strayMessages).toBe(0)
})

test(
  'a query leaves no trace; what steers is part of the conversation, and so is its answer',
  { timeout: 60_000 },
  async () => {
    await using runner = await asking()
    const { run } = await atWork(runner)
    const said = async (): Promise<string[]> => (await runner.sessions.messages(run.id)).map(textOf)
    expect(await run.ask('say hello')).toBe('hello')
    expect(await said()).toEqual([])
    const slow = run.ask('after 1000 its own')
    expect(await run.ask('How far?', { mode: 'steer' })).toBe('I heard How far?')
    expect(await slow).toBe('its own')
    expect(await said()).toEqual(['How far?', 'I heard How far?'])
    const last = run.ask('silent', { mode: 'steer' })
    await until(async () => (await said()).length === 3)
    await run.send('end')
    expect(await last).toBe('the end')
  },
)

test(
  'what throws, or cannot be sent, is an answer; who answers nothing says so at once',
  { timeout: 60_000 },
  async () => {
    await using runner = await asking()
    const { run } = await atWork(runner)
    await expect(run.ask('throw stones')).rejects.toMatchObject({ code: 'ASK_FAILED', message: 'stones' })
    await expect(run.ask('huge')).rejects.toMatchObject({ code: 'ASK_FAILED' })
    const mute = runner.run({ role: 'mute', input: { forMs: 60_000, text: '' } })
    await firstData(mute, 'pid')
    await expect(mute.ask('say hello')).rejects.toMatchObject({ code: 'ASK_UNSUPPORTED' })
    await expect(run.ask('say hello', { timeoutMs: 300_001 })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
    await mute.cancel()
    await run.cancel()
  },
)

test('who is told to stop stops, and a late answer is nobody else’s', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  await using runner = await asking()
  const { run } = await atWork(runner)
  await expect(run.ask(`hang ${ledger}`, { timeoutMs: 100 })).rejects.toMatchObject({ code: 'ASK_TIMEOUT' })
  await until(() => existsSync(ledger) && readFileSync(ledger, 'utf8') === 'told to stop\n')
  const abort = new AbortController()
  const givenUp = run.ask(`hang ${ledger}`, { signal: abort.signal })
  abort.abort()
  await expect(givenUp).rejects.toMatchObject({ code: 'ABORTED' })

  expect(runner.stats().strayMessages).toBe(0)
  const late = run.ask('block 600 late', { timeoutMs: 200 })
  await expect(late).rejects.toMatchObject({ code: 'ASK_TIMEOUT' })
  expect(await run.ask('say next')).toBe('next')
  expect(runner.stats().strayMessages).toBe(1)
  await run.cancel()
})

test('what steers and was not taken in time is not in the conversation later', { timeout: 60_000 }, async () => {
  await using runner = await asking()
  const mute = runner.run({ role: 'mute', input: { forMs: 1_000, text: 'done' } })
  await firstData(mute, 'pid')
  await expect(mute.ask('How far?', { mode: 'steer', timeoutMs: 100 })).rejects.toMatchObject({ code: 'ASK_TIMEOUT' })
  expect(await mute.outcome).toMatchObject({ status: 'completed' })
  expect(await runner.sessions.messages(mute.id)).toEqual([])
})

test('one that has ended is asked by another run, with its session', { timeout: 60_000 }, async () => {
  await using runner = await asking()
  const run = runner.run({ role: 'sage', task: 'first' })
  await run.outcome
  const session = async (): Promise<number> => (await runner.sessions.messages(run.id)).length
  expect(await run.ask('second')).toBe('second: first | second')
  expect(await session()).toBe(1)
  const past = await runner.attach(run.id)
  const steered = await Promise.all([past.ask('third', { mode: 'steer' }), run.ask('fourth', { mode: 'steer' })])
  expect(steered).toEqual(['third: first | third', 'fourth: first | third | fourth'])
  expect(await session()).toBe(3)
  await expect(run.ask('fail')).rejects.toMatchObject({ code: 'ASK_FAILED', message: 'NO_IDEA: none' })
  const typed = runner.run({ role: 'mute', input: { forMs: 0, text: 'done' } })
  await typed.outcome
  await expect(typed.ask('and now?')).rejects.toMatchObject({ code: 'INPUT_INVALID' })
})

test('with one permit a parent asks a child that has ended', { timeout: 60_000 }, async () => {
  await using runner = await asking({ admission: { maxExecuting: 1 } })
  const input: Step[] = [
    { do: 'spawn', name: 'a', role: 'sage', task: 'first' },
    { do: 'wait', name: 'a' },
    ask(['second', 'third']),
    ask(['hang'], { timeoutMs: 1_500 }),
    ask(['fourth']),
  ]
  const said = await output(runner.run({ role: 'asker', input }))
  expect(said.slice(1)).toEqual([
    'completed',
    ['second: first | second', 'third: first | third'],
    ['ASK_TIMEOUT'],
    ['fourth: first | fourth'],
  ])
  expect(runner.stats()).toMatchObject({ executing: 0, queued: 0, runs: [] })
})

test('who would answer, and is not covered by a budget, is refused to who asks, and to nobody else', async () => {
  await using runner = await asking()
  const input: Step[] = [
    { do: 'spawn', name: 'a', role: 'sage', task: 'first' },
    { do: 'wait', name: 'a' },
    ask(['second', 'third'], { mode: 'steer' }),
    ask(['fourth']),
  ]
  const said = await output(runner.run({ role: 'asker', input, budget: { spawns: 1 } }))
  expect(said.slice(1)).toEqual(['completed', ['LIMIT_BUDGET', 'LIMIT_BUDGET'], ['LIMIT_BUDGET']])
  const [first] = await runner.children.list()
  expect(first).toBeUndefined()
})

test('who answers in its stead may use what the run itself was given, each time anew', async () => {
  await using runner = await asking()
  const run = runner.run({ role: 'sage', task: 'spend 5', budget: { tokens: 5 } })
  await run.outcome
  for (const asked of [run, await runner.attach(run.id)]) {
    expect(await asked.ask('spend 4')).toBe('spend 4: spend 5 | spend 4')
    await expect(asked.ask('spend 6')).rejects.toMatchObject({ code: 'LIMIT_BUDGET' })
  }
})

test('the deadline holds for admission, and for who is not at work yet', { timeout: 60_000 }, async () => {
  await using runner = await asking({ admission: { maxExecuting: 1 } })
  const ended = runner.run({ role: 'sage', task: 'first' })
  await ended.outcome
  const { run: holder } = await atWork(runner)
  const queued = runner.run({ role: 'sage', input: 'work' })
  const inTime = queued.ask('say hello')
  await expect(queued.ask('say hello', { timeoutMs: 100 })).rejects.toMatchObject({ code: 'ASK_TIMEOUT' })
  await expect(ended.ask('second', { timeoutMs: 100 })).rejects.toMatchObject({ code: 'ASK_TIMEOUT' })
  await until(() => runner.stats().queued === 1)
  await holder.send('end')
  expect(await inTime).toBe('hello')
  await queued.cancel()
})

test('what was asked before a worker had its run has there what is left of its one deadline', async () => {
  await using it = await openAttempt()
  await it.claim()
  it.publish('accepted', ref)
  await until(() => it.attempt.isAccepted)
  const asking = new Asking({ clock: it.clock, random: systemRandom }, {} as Predecessor, undefined)
  it.clock.jump(1_000)
  const answer = asking.ask(['How far?', { timeoutMs: 60_000 }])
  it.clock.jump(20_000)
  using send = vi.spyOn(it.drive.peer, 'send')
  asking.accepted(it.attempt)
  await until(() => send.mock.calls.length > 0)
  expect(send.mock.calls.map(([message]) => message)).toMatchObject([{ kind: 'ask', ttlMs: 40_000 }])
  it.kill()
  await expect(answer).rejects.toMatchObject({ code: 'WORKER_LOST' })
})

test('a suspended run is asked when it goes on', { timeout: 60_000 }, async () => {
  await using runner = await asking()
  const run = runner.run({ role: 'sleeper' })
  await until(() => run.status().phase === 'suspended')
  expect(await run.ask('Are you there?')).toBe('awake in attempt 2')
  await run.send('enough')
  expect(await run.outcome).toMatchObject({ status: 'completed' })
})

test(
  'what a run leaves unanswered is asked of another once it has completed, and of nobody else',
  { timeout: 60_000 },
  async () => {
    using folder = temporaryFolder()
    await using runner = await asking()
    const { run } = await atWork(runner)
    const question = `hang ${join(folder.path, 'ledger')}`
    const open = run.ask(question)
    expect(await run.ask('say hello')).toBe('hello')
    await run.send('end')
    expect(await open).toBe(`${question}: end | ${question}`)

    const { run: failing } = await atWork(runner)
    const inVain = failing.ask(question)
    const taken = failing.ask('silent', { mode: 'steer' })
    await until(async () => (await runner.sessions.messages(failing.id)).length === 1)
    await failing.send('fail')
    await expect(taken).rejects.toMatchObject({ code: 'ASK_UNANSWERED' })
    await expect(inVain).rejects.toMatchObject({ code: 'ASK_UNANSWERED' })
  },
)

test('a worker that is killed ends what it was asked', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder()
  await using runner = await asking()
  const { run, pid } = await atWork(runner)
  const open = [1, 2, 3].map((n) => run.ask(`hang ${join(folder.path, `ledger-${n}`)}`))
  expect(await run.ask('say hello')).toBe('hello')
  process.kill(pid, 'SIGKILL')
  for (const one of open) await expect(one).rejects.toMatchObject({ code: 'WORKER_LOST' })
})

test('an asker keeps its worker until it is answered, and leaves it then', { timeout: 60_000 }, async () => {
  await using runner = await asking({ admission: { maxProcesses: 2 } })
  const run = runner.run({ role: 'pliant' })
  expect(await firstData(run, 'answer')).toBe('answered')
  expect(await output(run)).toEqual(['placeless completed'])
  expect(run.status().attempts).toBe(2)
})

test('only a parent asks its child', { timeout: 60_000 }, async () => {
  await using runner = await asking()
  const middle: Step[] = [work, ask(['say hello']), end, { do: 'wait', name: 'a' }]
  const run = runner.run({
    role: 'asker',
    input: [
      { do: 'spawn', name: 'mid', role: 'asker', input: middle },
      { do: 'wait', name: 'mid' },
    ],
  })
  const mid = await runner.attach(String(await firstData(run, 'child')))
  const grandchild = String(await firstData(mid, 'child'))
  await output(run)
  expect(await mid.outcome).toMatchObject({ output: [grandchild, ['hello'], expect.any(String), 'completed'] })
  // Nor does a run as deep as the parent, or as the grandparent.
  for (const name of [mid.id, grandchild]) {
    const stranger: Step[] = [{ do: 'ask', name, questions: ['say hello'] }]
    expect(await output(runner.run({ role: 'asker', input: stranger }))).toEqual([['UNKNOWN_RUN']])
  }
  await expect(runner.children.ask({ runId: grandchild }, 'say hello')).rejects.toMatchObject({ code: 'UNKNOWN_RUN' })
  const ref = await runner.children.spawn({ role: 'sage', input: 'work' })
  expect(await runner.children.ask(ref, 'say hello')).toBe('hello')
  await runner.children.cancel(ref)
})

const execArgv = ['--conditions=@greenroom/source']

async function startBroker(folder: string, socket: string) {
  const broker = fork(new URL('fixtures/broker.ts', import.meta.url), [folder, socket], { execArgv })
  await once(broker, 'message')
  return {
    async kill() {
      broker.kill('SIGKILL')
      if (broker.exitCode === null && broker.signalCode === null) await once(broker, 'exit')
    },
  }
}

test('questions outlive the broker', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder()
  const socket = join(folder.path, 'bus.sock')
  const first = await startBroker(join(folder.path, 'broker'), socket)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => first.kill())
  await using runner = await asking({ bus: { url: `ws+unix:${socket}`, token: 'a-token-of-some-length' } })
  const questions = Array.from({ length: 8 }, (_, n) => `after ${500 + n * 200} answer ${n}`)
  const run = runner.run({ role: 'asker', input: [work, ask(['say hello']), ask(questions), end] })
  const child = await runner.attach(String(await firstData(run, 'child')))
  await firstData(child, 'pid')
  await until(() => run.status().phase === 'running')
  await first.kill()
  const second = await startBroker(join(folder.path, 'broker'), socket)
  stack.defer(() => second.kill())
  const [, hello, answers] = await output(run)
  expect(hello).toEqual(['hello'])
  expect(answers).toEqual(questions.map((_, n) => `answer ${n}`))
})

test(
  'a runner that is killed amid questions: its next life asks anew, and ends who was to answer',
  { timeout: 120_000 },
  async () => {
    using folder = temporaryFolder()
    const [dataDir, file] = [join(folder.path, 'data'), join(folder.path, 'asked')]
    const program = fork(new URL('fixtures/asked-program.ts', import.meta.url), [dataDir, file], { execArgv })
    await once(program, 'message')
    await until(() => existsSync(file), 'the question', 60_000)
    program.kill('SIGKILL')
    if (program.exitCode === null && program.signalCode === null) await once(program, 'exit')
    await using runner = await asking({ dataDir, logger: { warn: () => undefined, output: () => undefined } })
    const runs = await runner.resume()
    const ends = await Promise.all(runs.map(async (run) => ({ ...run.status(), outcome: await run.outcome })))
    const endOf = (role: string) => ends.filter((end) => end.role === role).map(({ outcome }) => outcome)
    // The child that was asked ended with its runner, so another run answers in its stead, too.
    expect(endOf('curious')).toMatchObject([
      { status: 'completed', output: [`note ${file}: note ${file}`, 'second: first | second'] },
    ])
    expect(endOf('sage')).toHaveLength(2)
    expect(endOf('sage')).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ status: 'cancelled', reason: 'whoever asked is gone' }),
        expect.objectContaining({ code: expect.stringMatching(/^(OUTCOME_UNKNOWN|WORKER_LOST)$/) }),
      ]),
    )
    // Who was asked may have heard that its runner is gone before it was ended.
    expect(readFileSync(file, 'utf8')).toMatch(/^asked\n(told to stop\n)?$/)
    expect(runner.stats()).toMatchObject({ executing: 0, queued: 0, runs: [] })
  },
)
