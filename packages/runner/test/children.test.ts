/** Children of runs, in real processes. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JsonValue, Outcome } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { createRunner, type Run, type Runner, type RunnerOptions } from '../src/index.ts'
import { firstData, isAlive, temporaryFolder, until } from './fixtures/setup.ts'
import { familyRoles, familyWorker, type Family } from './fixtures/family-roles.ts'
import type { Step } from './fixtures/family.ts'

function family(
  options: Partial<RunnerOptions<Family, typeof familyRoles>> = {},
): Promise<Runner<Family, typeof familyRoles>> {
  return createRunner({ worker: familyWorker, roles: familyRoles, dataDir: null, quiet: true, ...options })
}

const spawn = (name: string, input: JsonValue, more: { readonly key?: string; readonly role?: string } = {}): Step => ({
  do: 'spawn',
  name,
  role: 'child',
  input,
  ...more,
})
const wait = (names: string[], more: { mode?: 'any' | 'first-error'; withinMs?: number } = {}): Step => ({
  do: 'wait',
  names,
  ...more,
})
const linger: Step = { do: 'linger' }

async function output<T>(run: Run<T>): Promise<T> {
  const outcome = await run.outcome
  if (outcome.status !== 'completed') throw new Error(JSON.stringify(outcome))
  return outcome.output
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** The greatest number of runs that executed at a time. */
function most(ledger: string): number {
  let now = 0
  return Math.max(
    ...readFileSync(ledger, 'utf8')
      .split('')
      .map((mark) => (now += mark === '+' ? 1 : -1)),
  )
}

test('with one permit a tree four deep completes', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  await using runner = await family({ admission: { maxExecuting: 1 } })
  expect(await output(runner.run({ role: 'tree', input: { widths: [1, 1, 1, 1], ledger } }))).toBe(5)
  expect(most(ledger)).toBe(1)
})

test('of forty nested runs never more execute than there are permits', { timeout: 120_000 }, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  await using runner = await family({ admission: { maxExecuting: 4 } })
  expect(await output(runner.run({ role: 'tree', input: { widths: [3, 3, 3], ledger } }))).toBe(40)
  expect(most(ledger)).toBeGreaterThan(1)
  expect(most(ledger)).toBeLessThanOrEqual(4)
  expect(runner.stats()).toMatchObject({ executing: 0, queued: 0, started: 40, ended: 40 })
})

test(
  'one that waits for several children by themselves needs no more than one permit',
  { timeout: 60_000 },
  async () => {
    await using runner = await family({ admission: { maxExecuting: 1 } })
    expect(await output(runner.run({ role: 'severally' }))).toEqual(['a', 'b', 'c'])
  },
)

test('who is as deep as may be, or may have no children, is refused by name', { timeout: 60_000 }, async () => {
  await using runner = await family({ admission: { maxDepth: 1 } })
  const inner: Step[] = [spawn('x', { do: 'say' })]
  const nested: Step[] = [spawn('a', inner, { role: 'parent' }), wait(['a'])]
  const run = runner.run({ role: 'parent', input: nested })
  const [runId] = await output(run)
  expect(await output(await runner.attach(text(runId)))).toEqual(['DEPTH_EXCEEDED'])
  expect(await output(runner.run({ role: 'childless', input: inner }))).toEqual(['DEPTH_EXCEEDED'])
})

test('a key names one child, and only its own parent can tell', { timeout: 60_000 }, async () => {
  await using runner = await family()
  const say = { do: 'say' }
  const run = runner.run({
    role: 'parent',
    input: [
      spawn('a', say, { key: 'k' }),
      spawn('b', say, { key: 'k' }),
      spawn('c', { do: 'fail' }, { key: 'k' }),
      spawn('d', say),
      spawn('e', say),
      wait(['a', 'b', 'd', 'e']),
    ],
  })
  const [first, b, c, d, e, ended] = await output(run)
  const a = text(first)
  expect(b).toBe(a)
  expect(c).toBe('ID_CONFLICT')
  // Who has no key is another each time.
  expect(new Set([a, d, e]).size).toBe(3)
  expect(ended).toEqual(['completed', 'completed', 'completed', 'completed'])

  const stranger: Step[] = [
    spawn('mine', say, { key: 'k' }),
    wait([a]),
    { do: 'send', name: a, text: 'hello' },
    { do: 'cancel', name: 'nobody' },
    spawn('x', null, { role: 'no such role' }),
  ]
  const [mine, ...others] = await output(runner.run({ role: 'parent', input: stranger }))
  expect(mine).not.toBe(a)
  expect(others).toEqual(['UNKNOWN_RUN', 'UNKNOWN_RUN', 'UNKNOWN_RUN', 'UNKNOWN_ROLE'])
})

test(
  'waiting ends with any of them, with the first that did not complete, or with its signal',
  { timeout: 60_000 },
  async () => {
    await using runner = await family()
    const run = runner.run({
      role: 'parent',
      input: [
        spawn('slow', { do: 'linger' }),
        spawn('quick', { do: 'say' }),
        wait(['slow', 'quick'], { mode: 'any' }),
        spawn('bad', { do: 'fail' }),
        wait(['quick', 'bad', 'slow'], { mode: 'first-error' }),
        wait(['slow'], { withinMs: 50 }),
        wait([]),
        { do: 'send', name: 'slow', text: 'enough' },
        wait(['slow', 'bad']),
        spawn('last', { do: 'linger' }),
        { do: 'cancel', name: 'last' },
        wait(['last']),
        spawn('long', { do: 'linger' }),
        wait(['last', 'long'], { mode: 'first-error' }),
      ],
    })
    const said = await output(run)
    expect(said[2]).toEqual(['completed'])
    expect(said[4]).toEqual(['completed', 'failed'])
    expect(said[5]).toBe('ABORTED')
    expect(said[6]).toEqual([])
    expect(said[7]).toMatch(/delivered|queued/)
    expect(said[8]).toEqual(['completed', 'failed'])
    expect(said[11]).toEqual(['cancelled'])
    expect(said[13]).toEqual(['cancelled'])
  },
)

test('a cancel reaches the children of children', { timeout: 60_000 }, async () => {
  await using runner = await family()
  const inner: Step[] = [spawn('leaf', { do: 'linger' }), linger]
  const run = runner.run({
    role: 'parent',
    input: [spawn('mid', inner, { role: 'parent' }), linger],
  })
  const middle = await runner.attach(String(await firstData(run, 'child')))
  const leaf = await runner.attach(String(await firstData(middle, 'child')))
  const pid = Number(await firstData(leaf, 'pid'))
  expect(await run.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
  expect(await middle.outcome).toMatchObject({ status: 'cancelled' })
  expect(await leaf.outcome).toMatchObject({ status: 'cancelled' })
  await until(() => !isAlive(pid))
})

test('a parent that fails takes its children with it, one that completed does not', { timeout: 60_000 }, async () => {
  await using runner = await family()
  const failing = runner.run({ role: 'parent', input: [spawn('a', { do: 'linger' }), { do: 'fail' }] })
  const lost = await runner.attach(String(await firstData(failing, 'child')))
  expect(await failing.outcome).toMatchObject({ code: 'ENOUGH' })
  expect(await lost.outcome).toEqual({ status: 'cancelled', reason: 'its parent ended as failed' })

  const leaving = runner.run({ role: 'parent', input: [spawn('a', { do: 'linger' })] })
  const kept = await runner.attach(String(await firstData(leaving, 'child')))
  expect(await leaving.outcome).toMatchObject({ status: 'completed' })
  await firstData(kept, 'pid')
  await kept.send('still there?')
  expect(await kept.outcome).toMatchObject({ status: 'completed', text: 'still there?' })
})

test('the times of a parent stand still while it waits', { timeout: 60_000 }, async () => {
  await using runner = await family()
  const run = runner.run({
    role: 'parent',
    limits: { totalMs: 1_500, noProgressMs: 1_000 },
    input: [spawn('slow', { do: 'say', afterMs: 3_000 }), wait(['slow'])],
  })
  expect(await output(run)).toMatchObject([expect.any(String), ['completed']])
})

test('a parent that is tried again finds its children by their keys', { timeout: 60_000 }, async () => {
  await using runner = await family()
  const run = runner.run({
    role: 'steady',
    input: [spawn('a', { do: 'linger' }, { key: 'the one' }), wait(['a'])],
  })
  const child = await runner.attach(String(await firstData(run, 'child')))
  await firstData(child, 'pid')
  process.kill(run.status().worker?.pid ?? 0, 'SIGKILL')
  await until(() => run.status().attempts === 2 && run.status().phase === 'running')
  await child.send('go on')
  expect(await output(run)).toEqual([child.id, ['completed']])
  expect(runner.stats().started).toBe(2)
})

test('what is no child, and no order for one, is refused by name', async () => {
  await using runner = await family()
  const { children } = runner
  for (const odd of [null, undefined, 'child'])
    for (const call of ['spawn', 'wait', 'send', 'ask', 'cancel'] as const) {
      const args = call === 'wait' ? [[odd]] : [odd, 'words']
      await expect(Reflect.apply(children[call], children, args)).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
    }
  // @ts-expect-error -- misspelt
  await expect(children.wait([], { mod: 'any' })).rejects.toThrow(/"mod" must be one of/)
  // @ts-expect-error -- who does not compile may give anything
  for (const odd of [undefined, 5]) await expect(children.wait(odd)).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
})

test('a program has children as a run has, by their keys in each of its lives', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder()
  const order = { role: 'child', input: { do: 'say' }, key: 'job 7' } as const
  const lives: (readonly [string, Outcome | undefined])[] = []
  for (let life = 0; life < 2; life += 1) {
    await using runner = await family({ dataDir: folder.path })
    const ref = await runner.children.spawn(order)
    const [child] = await runner.children.wait([ref])
    lives.push([ref.runId, child?.outcome])
    await expect(runner.children.wait([{ runId: 'nobody' }])).rejects.toMatchObject({ code: 'UNKNOWN_RUN' })
    expect(runner.stats().started).toBe(1 - life)
  }
  expect(lives[1]).toEqual(lives[0])
  expect(lives[0]?.[1]).toMatchObject({ status: 'completed', text: 'said' })
})

test(
  'a parent that suspends itself frees worker and permit, and goes on with what its children came to',
  { timeout: 60_000 },
  async () => {
    await using runner = await family({ admission: { maxExecuting: 1, maxProcesses: 1 } })
    const run = runner.run({
      role: 'patient',
      task: 'Try',
      input: { rounds: 2, children: [{ do: 'say' }, { do: 'fail' }, { do: 'say', afterMs: 300 }] },
    })
    await until(() => run.status().phase === 'suspended')
    expect(await run.outcome).toMatchObject({
      status: 'completed',
      text: '3',
      output: ['Try', 'asking in round 1', 'round 2: 1.0 completed, 1.1 failed, 1.2 completed', 'asking in round 2'],
    })
    expect(runner.stats()).toMatchObject({ started: 7, ended: 7, executing: 0 })
  },
)

test(
  'a suspended parent is cancelled with its children, keeps what it is told, and needs not wait for all',
  { timeout: 60_000 },
  async () => {
    await using runner = await family()
    const lingering = { children: [{ do: 'linger' }] }
    const cancelled = runner.run({ role: 'patient', input: lingering })
    const child = await runner.attach(String(await firstData(cancelled, 'child')))
    await until(() => cancelled.status().phase === 'suspended')
    expect(await cancelled.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
    expect(await child.outcome).toMatchObject({ status: 'cancelled' })

    const early = runner.run({
      role: 'patient',
      input: { ...lingering, children: [{ do: 'linger' }, { do: 'say' }], mode: 'any' },
    })
    expect(await early.outcome).toMatchObject({ status: 'completed', text: '2' })
    expect(early.status().attempts).toBe(2)
    await runner.close()
  },
)

test(
  'what a parent says to a child that is suspended is queued at once, and in its transcript',
  { timeout: 60_000 },
  async () => {
    await using runner = await family()
    const run = runner.run({
      role: 'parent',
      input: [
        spawn('child', { children: [{ do: 'linger' }] }, { role: 'patient' }),
        { do: 'hold' },
        { do: 'send', name: 'child', text: 'are you there?' },
        { do: 'cancel', name: 'child' },
        wait(['child']),
      ],
    })
    const child = await runner.attach(String(await firstData(run, 'child')))
    await until(() => child.status().phase === 'suspended')
    await run.send('now')
    expect(await output(run)).toEqual([child.id, null, 'queued', null, ['cancelled']])
    const texts = (await runner.sessions.messages(child.id)).map(({ content }) => content)
    expect(texts).toEqual(['asking in round 1', 'are you there?'])
  },
)

test('with one process waiting parents that can are suspended', { timeout: 60_000 }, async () => {
  await using runner = await family({ admission: { maxExecuting: 4, maxProcesses: 1 } })
  const run = runner.run({ role: 'pliant', input: { below: 3 } })
  expect(await output(run)).toBe(4)
  expect(run.status().attempts).toBe(2)
  expect(runner.stats()).toMatchObject({ executing: 0, queued: 0, started: 4, ended: 4 })
})

test('with one process a parent that cannot is told that its child has no place', { timeout: 60_000 }, async () => {
  await using runner = await family({ admission: { maxProcesses: 1 } })
  const run = runner.run({ role: 'parent', input: [spawn('a', { do: 'say' }), wait(['a'])] })
  const [runId, ended] = await output(run)
  expect(ended).toEqual(['failed'])
  expect(await (await runner.attach(text(runId))).outcome).toMatchObject({ code: 'POOL_HELD_BY_ANCESTOR' })
})

/** A tree of three: what the root and the one between say of what the lowest asks. */
function askedOver(root: readonly Step[], between: readonly Step[]): Step[] {
  // Its own word counts for its children, not for itself.
  const lowest: Step[] = [
    { do: 'decide', as: 'allow' },
    { do: 'approve', what: 'cut' },
  ]
  const middle: Step[] = [...between, spawn('low', lowest, { role: 'parent', key: 'low' }), wait(['low'])]
  return [...root, spawn('mid', middle, { role: 'parent', key: 'mid' }), wait(['mid'])]
}

test('the nearest ancestor that decides is asked before a person, three levels deep', { timeout: 60_000 }, async () => {
  const persons: string[] = []
  await using runner = await family({
    approvals: {
      person({ path, tool }) {
        persons.push(`${tool} ${path.length}`)
        return Promise.resolve({ allow: true, reason: 'fine' })
      },
    },
  })
  const decide = (as: 'allow' | 'boast' | 'deny' | 'pass' | 'throw'): Step[] => [{ do: 'decide', as }]
  const answerTo = async (root: Step[], between: Step[]): Promise<unknown> => {
    const run = runner.run({ role: 'parent', input: askedOver(root, between) })
    await output(run)
    const [record] = runner.approvals.list().filter(({ path }) => path[0] === run.id)
    expect(record?.path).toHaveLength(3)
    const answer = [await output(await runner.attach(record?.runId ?? ''))].flat().at(-1)
    expect(answer).toEqual(expect.arrayContaining([record?.decision?.decider]))
    return answer
  }
  const edited = { what: 'cut', depth: 3 }
  expect(await answerTo(decide('deny'), decide('allow'))).toEqual([
    true,
    'ancestor',
    'allow knife, says its ancestor',
    edited,
  ])
  expect(await answerTo(decide('deny'), decide('pass'))).toEqual([
    false,
    'ancestor',
    'deny knife, says its ancestor',
    null,
  ])
  expect(await answerTo(decide('allow'), [])).toEqual([true, 'ancestor', 'allow knife, says its ancestor', edited])
  expect(await answerTo(decide('allow'), decide('throw'))).toEqual([
    false,
    'ancestor',
    'the ancestor failed: no idea',
    null,
  ])
  expect(await answerTo(decide('allow'), decide('boast'))).toEqual([
    false,
    'ancestor',
    expect.stringMatching(/^the ancestor failed: .*payload/),
    null,
  ])
  expect(persons).toEqual([])
  expect(await answerTo(decide('pass'), [])).toEqual([true, 'person', 'fine', { what: 'cut', depth: 0 }])
  expect(persons).toEqual(['knife 3'])
})

test('what outlives its parent is decided on by the next ancestor, else by a person', { timeout: 60_000 }, async () => {
  await using runner = await family({ approvals: { person: 'elsewhere' } })
  const lowest: Step[] = [{ do: 'hold' }, { do: 'approve', what: 'cut' }]
  const middle: Step[] = [{ do: 'decide', as: 'deny' }, spawn('low', lowest, { role: 'parent', key: 'low' })]
  const run = runner.run({
    role: 'parent',
    input: [spawn('mid', middle, { role: 'parent', key: 'mid' }), wait(['mid'])],
  })
  const middleRun = await runner.attach(String(await firstData(run, 'child')))
  const low = await runner.attach(String(await firstData(middleRun, 'child')))
  expect(await run.outcome).toMatchObject({ status: 'completed' })
  await low.send('now')
  const asked = await until(() => runner.approvals.list({ state: 'pending' })[0])
  expect(asked.path).toEqual([run.id, middleRun.id, low.id])
  await runner.approvals.answer(asked.id, { allow: true, reason: 'late, but fine' })
  expect(await output(low)).toEqual([null, [true, 'person', 'late, but fine', { what: 'cut', depth: 0 }]])
})

test('what outlives its parent is decided on by whoever above it is still there', { timeout: 60_000 }, async () => {
  await using runner = await family({ approvals: { person: () => expect.fail('a person was asked') } })
  const lowest: Step[] = [{ do: 'hold' }, { do: 'approve', what: 'cut' }]
  const middle: Step[] = [{ do: 'decide', as: 'deny' }, spawn('low', lowest, { role: 'parent', key: 'low' })]
  const run = runner.run({
    role: 'parent',
    input: [
      { do: 'decide', as: 'allow' },
      spawn('mid', middle, { role: 'parent', key: 'mid' }),
      wait(['mid']),
      { do: 'hold' },
    ],
  })
  const middleRun = await runner.attach(String(await firstData(run, 'child')))
  const low = await runner.attach(String(await firstData(middleRun, 'child')))
  expect(await middleRun.outcome).toMatchObject({ status: 'completed' })
  await low.send('now')
  expect(await output(low)).toEqual([
    null,
    [true, 'ancestor', 'allow knife, says its ancestor', { what: 'cut', depth: 3 }],
  ])
  await run.send('done')
  expect(await run.outcome).toMatchObject({ status: 'completed' })
})

test('a parent lists its own children, with how they ended, oldest first', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder()
  const steps: Step[] = [
    spawn('a', [{ do: 'list' }], { key: 'first', role: 'parent' }),
    spawn('b', { do: 'fail' }, { key: 'second' }),
    wait(['a', 'b']),
    spawn('c', [linger], { key: 'third', role: 'parent' }),
    { do: 'list' },
    { do: 'cancel', name: 'c' },
    wait(['c']),
    { do: 'list' },
  ]
  const listed = async (runner: Runner<Family, typeof familyRoles>): Promise<JsonValue[]> =>
    (await runner.children.list()).map(({ key, role, status }) => [key, role, status])
  let before: JsonValue[]
  {
    await using runner = await family({ dataDir: folder.path })
    const { runId } = await runner.children.spawn({ role: 'parent', input: steps, key: 'parent' })
    const said = (await output(await runner.attach(runId))) ?? []
    const [a, b, , c, meanwhile, , , after] = Array.isArray(said) ? said : []
    expect(meanwhile).toEqual([
      [a, 'first', 'parent', 'completed'],
      [b, 'second', 'child', 'failed'],
      [c, 'third', 'parent', 'running'],
    ])
    expect(after).toEqual([
      [a, 'first', 'parent', 'completed'],
      [b, 'second', 'child', 'failed'],
      [c, 'third', 'parent', 'cancelled'],
    ])
    // It has none, whatever its own parent has.
    expect(await output(await runner.attach(text(a)))).toEqual([[]])
    before = await listed(runner)
    expect(before).toEqual([['parent', 'parent', 'completed']])
  }
  await using next = await family({ dataDir: folder.path })
  expect(await listed(next)).toEqual(before)
})
