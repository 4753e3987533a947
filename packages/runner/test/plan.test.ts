/** The plan of a run: what is decided before anything is started. */
import type { Posture } from '@greenroom/proto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { checkOptions } from '../src/config.ts'
import { createMemorySessions, type RoleOptions, type RunnerOptions, type RunSpec } from '../src/index.ts'
import type { Kin } from '../src/journal.ts'
import { planRun, standardNeed, type Plan } from '../src/plan.ts'
import { fingerprintOf } from '../src/pool/fingerprint.ts'
import { temporaryFolder, worker } from './fixtures/setup.ts'

/** Plans a run of a role. */
function planned(
  spec: Omit<RunSpec, 'role'>,
  role: Partial<RoleOptions> = {},
  { kin, sessions = createMemorySessions(), ...options }: { kin?: Kin } & Partial<RunnerOptions> = {},
): Promise<Plan> {
  const roles = { a: { executor: 'echo', ...role } }
  return planRun({
    runId: 'r',
    session: 's',
    spec: { role: 'a', ...spec },
    startedAt: 0,
    isResumed: false,
    config: checkOptions({ worker: worker.url, dataDir: null, ...options, roles }),
    sessions,
    whyNotDetached: undefined,
    kin,
    root: 'r',
  })
}

test('what a run says comes before what its role says', async () => {
  using own = temporaryFolder()
  using roles = temporaryFolder()
  const role = { workspace: roles.path, model: 'openai/role', priority: 1, limits: { rounds: 1 } }
  const none = await planned({})
  expect([none.assignment.workspace, none.assignment.model, none.ticket.priority]).toEqual([
    process.cwd(),
    undefined,
    0,
  ])
  const byRole = await planned({}, role)
  expect(byRole.assignment).toMatchObject({ workspace: roles.path, model: 'openai/role' })
  expect([byRole.limits.rounds, byRole.ticket.priority]).toEqual([1, 1])
  const byRun = await planned({ workspace: own.path, model: 'openai/run', priority: 2, limits: { rounds: 2 } }, role)
  expect(byRun.assignment).toMatchObject({ workspace: own.path, model: 'openai/run' })
  expect([byRun.limits.rounds, byRun.ticket.priority]).toEqual([2, 2])
  // What a worker fixes, and what its run is told, is the same.
  expect(byRun.need.fixed).toMatchObject({ workspace: own.path, model: 'openai/run' })
})

test('a workspace is looked for only where its worker is to see this machine’s files', async () => {
  using here = temporaryFolder()
  const workspace = join(here.path, 'gone')
  const pathOf = async (role: Partial<RoleOptions>, options: Partial<RunnerOptions> = {}) =>
    (await planned({ workspace }, role, options)).assignment.workspace
  await expect(pathOf({})).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  await expect(pathOf({}, { worker: { command: ['node'] } })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  // As in a container.
  expect(await pathOf({}, { worker: { launch: () => expect.fail('started') } })).toBe(workspace)
  const far = { remote: 'wss://far.example', token: 'a-token' }
  expect(await pathOf({ placement: far })).toBe(workspace)
  const bus = { url: 'ws://127.0.0.1:1', token: 'none' }
  expect(await pathOf({ placement: { pool: 'crew' } }, { bus })).toBe(workspace)
})

test('of limits the run’s come first, then the session’s, the role’s, and the runner’s', async () => {
  const sessions = createMemorySessions()
  const limitsOf = async (spec: Omit<RunSpec, 'role'>) => {
    const role = { limits: { totalMs: 45_000, rounds: 8 } }
    const { limits } = await planned(spec, role, { limits: { totalMs: 50_000, rounds: 9, toolMs: 7 }, sessions })
    return [limits.totalMs, limits.rounds, limits.toolMs]
  }
  expect(await limitsOf({})).toEqual([45_000, 8, 7])
  await sessions.describe('s', { metadata: { 'watchdog.totalSecs': '40' } })
  expect(await limitsOf({})).toEqual([40_000, 8, 7])
  expect(await limitsOf({ limits: { totalMs: 30_000 } })).toEqual([30_000, 8, 7])
})

test('the task is the run’s, else the newest text of the user, else the session’s title', async () => {
  const sessions = createMemorySessions()
  const taskOf = async (spec: Omit<RunSpec, 'role'>): Promise<string> => {
    const { assignment } = await planned(spec, {}, { sessions })
    return assignment.task
  }
  expect(await taskOf({})).toBe('')
  await sessions.describe('s', { title: 'the title' })
  expect(await taskOf({})).toBe('the title')
  const say = (seq: number, role: 'user' | 'assistant', content: string) =>
    sessions.append('s', [{ runId: 'earlier', epoch: 1, seq, message: { role, content } }])
  await say(1, 'user', 'first')
  await say(2, 'user', 'second')
  await say(3, 'assistant', 'done')
  expect(await taskOf({})).toBe('second')
  expect(await taskOf({ messages: [{ role: 'user', content: 'third' }] })).toBe('third')
  expect(await taskOf({ messages: [{ role: 'user', content: 'third' }], task: 'mine' })).toBe('mine')
  expect(await taskOf({ task: '' })).toBe('')
})

test('what an executor is told of its place in the tree is the runner’s word', async () => {
  const at = (depth: number, options: Partial<RunnerOptions> = {}, role: Partial<RoleOptions> = {}) =>
    planned({}, role, { ...options, kin: { lineage: ['p', 'q', 't', 'u'].slice(0, depth), childKey: 'k' } })
  const root = await planned({})
  expect(root.assignment).toMatchObject({ role: 'a', depth: 0, path: ['r'], posture: { nesting: true } })
  const child = await at(2)
  expect(child.assignment).toMatchObject({ depth: 2, path: ['p', 'q', 'r'], posture: { nesting: true } })
  expect([child.ticket.depth, child.need.fixed['depth']]).toEqual([2, 2])
  expect((await at(1, { admission: { maxDepth: 3 } })).need.fixed).toMatchObject({ depth: 1, maxDepth: 3 })
  expect((await at(4)).assignment.posture).toMatchObject({ nesting: false })
  expect((await at(1, { admission: { maxDepth: 1 } })).assignment.posture).toMatchObject({ nesting: false })
  expect((await at(1, {}, { posture: { nesting: false } })).assignment.posture).toMatchObject({ nesting: false })
})

test('postures are the role’s; without a person it is unattended, unless it says otherwise', async () => {
  const postureOf = async (posture: Posture, person?: 'elsewhere') =>
    (await planned({}, { posture }, { approvals: person === undefined ? {} : { person } })).assignment.posture
  expect(await postureOf({})).toEqual({ unattended: true, nesting: true })
  expect(await postureOf({ unattended: false, nesting: false })).toEqual({ unattended: false, nesting: false })
  expect(await postureOf({}, 'elsewhere')).toEqual({ unattended: false, nesting: true })
  expect(await postureOf({ unattended: true, bypass: true, enforce: true, readOnly: true }, 'elsewhere')).toEqual({
    unattended: true,
    bypass: true,
    enforce: true,
    readOnly: true,
    nesting: true,
  })
})

test('a bound on how many of a role execute is under the key that it names, else under its own name', async () => {
  const boundOf = async (concurrency: RoleOptions['concurrency']) =>
    (await planned({}, concurrency === undefined ? {} : { concurrency })).ticket.concurrency
  expect(await boundOf({ key: 'repo', limit: 1 })).toEqual({ key: 'repo', limit: 1 })
  expect(await boundOf({ limit: 2 })).toEqual({ key: 'a', limit: 2 })
  expect(await boundOf(undefined)).toBeUndefined()
})

test('tools, servers and what is needed of them go along as the role names them', async () => {
  const mcpServers = [{ name: 'files', command: 'mcp-files' }]
  const { assignment } = await planned({ task: 't' }, { disabledTools: ['bash'], mcpServers })
  expect(assignment).toMatchObject({ executor: 'echo', task: 't', disabledTools: ['bash'], mcpServers })
  expect(assignment.messages).toEqual([{ role: 'user', content: 't' }])
})

test('a role may have servers where its executor is, and others beside the runner', async () => {
  const lamp = { listTools: async () => [], callTool: () => expect.fail('called'), close: async () => undefined }
  const mcpServers = [{ name: 'files', command: 'mcp-files' }]
  const { assignment } = await planned({}, { mcpServers, bridge: { lamp: 'all' } }, { bridge: { fan: lamp, lamp } })
  expect(assignment).toMatchObject({ mcpServers, bridge: ['lamp'] })
})

test('what a worker fixes is all in what its fingerprint is made of', async () => {
  const { need } = await planned(
    { detached: true },
    { secrets: ['TOKEN'], env: ['PATH'] },
    { secrets: { TOKEN: 'v' }, env: ['HOME'] },
  )
  expect(need.fixed).toMatchObject({
    role: 'a',
    executor: 'echo',
    launcher: expect.stringContaining('worker.ts'),
    bundle: expect.stringMatching(/./),
    protocol: expect.stringMatching(/^\d+\.\d+$/),
    depth: 0,
    maxDepth: 4,
    detached: true,
    'secret:TOKEN': 'v',
    'env:PATH': process.env['PATH'],
    'env:HOME': process.env['HOME'],
  })
  const fixed = async (role: Partial<RoleOptions>) => (await planned({}, role)).need.fixed
  const one = await fixed({ disabledTools: ['bash', 'web'] })
  expect(one).toMatchObject({ detached: false })
  expect(await fixed({ disabledTools: ['web', 'bash'], posture: { bypass: false } })).toEqual(one)
  expect(await fixed({ disabledTools: ['bash', 'edit'] })).not.toEqual(one)
  expect(await fixed({ disabledTools: ['bash', 'web'], posture: { bypass: true } })).not.toEqual(one)
})

test('a fingerprint has a digest of each thing that a worker fixes, which nobody without its key can guess at', async () => {
  const { need } = await planned({}, { secrets: ['TOKEN'] }, { secrets: { TOKEN: 'hunter2' } })
  const [one, other] = [fingerprintOf(need.fixed, [], 'one'), fingerprintOf(need.fixed, [], 'other')]
  expect(Object.keys(one)).toEqual(Object.keys(need.fixed))
  expect(one).toEqual(fingerprintOf(need.fixed, [], 'one'))
  for (const [field, digest] of Object.entries(one)) {
    expect(digest).toMatch(/^[0-9a-f]{16}$/)
    expect(digest).not.toBe(other[field])
  }
})

test('a worker that is started ahead of its role’s runs is what they need', async () => {
  using workspace = temporaryFolder()
  const role = {
    workspace: workspace.path,
    model: 'openai/role',
    disabledTools: ['bash'],
    mcpServers: [{ name: 'files', command: 'mcp-files' }],
    posture: { bypass: true, nesting: false },
    secrets: ['TOKEN'],
    env: ['PATH'],
  }
  const options = { secrets: { TOKEN: () => Promise.resolve('v'), OTHER: 'w' } }
  const { need } = await planned({}, role, options)
  expect(need.secrets).toEqual({ TOKEN: 'v' })
  const roles = { a: { executor: 'echo', ...role } }
  const config = checkOptions({ worker: worker.url, dataDir: null, ...options, roles })
  expect(await standardNeed(config, 'a')).toEqual(need)
})

test('the code of a command is that of the files that its words name, in its folder, and of what those import', async () => {
  using folder = temporaryFolder()
  const write = (name: string, text: string): void => writeFileSync(join(folder.path, name), text)
  write('worker.mjs', "import './part.mjs'")
  write('part.mjs', '1')
  write('other.mjs', '1')
  const bundle = async (...command: string[]) =>
    (await planned({}, {}, { worker: { command, cwd: folder.path } })).need.fixed['bundle']
  const one = await bundle('node', 'worker.mjs')
  expect(await bundle('node', 'worker.mjs')).toBe(one)
  expect(await bundle('node', 'other.mjs')).not.toBe(one)
  write('other.mjs', '2')
  expect(await bundle('node', 'worker.mjs')).toBe(one)
  write('part.mjs', '2')
  expect(await bundle('node', 'worker.mjs')).not.toBe(one)
})
