/** `greenroom approvals`: the real command against a real runner, in processes of their own. */
import { readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { findApprovalsDoor } from '@greenroom/runner'
import { start, temporaryFolder, type Ended } from './program.ts'

/** A dozen programs one after the other, on a machine that may be busy with other things. */
const timeout = 400_000
const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const cli = fileOf('../src/cli.ts')

async function approvals(...args: readonly string[]): Promise<Ended> {
  await using program = start(cli, ['approvals', ...args])
  return await program.ended
}

interface Shown {
  readonly approvals: readonly { readonly id: string; readonly resource: string }[]
  readonly grants: readonly { readonly id: string; readonly scope: string }[]
}

/** What it says as JSON. */
async function document(...args: readonly string[]): Promise<Shown> {
  const { stdout } = await approvals(...args, '--json')
  return JSON.parse(stdout) as Shown
}

/** The one that waits for a resource. */
async function waiting(data: string, resource: string): Promise<string> {
  for (;;) {
    const { approvals: waits } = await document('list', '--data', data)
    const one = waits.find((approval) => approval.resource === resource)
    if (one !== undefined) return one.id
  }
}

test(
  'lists, shows, allows with an edited input and for longer, denies, and says who was faster',
  { timeout },
  async () => {
    using folder = temporaryFolder()
    const data = join(folder.path, 'data')
    await using program = start(fileOf('./deciding-program.ts'), [data, '/a /a /a /c /b'])
    const run = (await program.line(/run (.+)/))[1] ?? ''
    const at = ['--data', data]

    const first = await waiting(data, '/a')
    expect((await approvals('list', ...at)).stdout).toMatch(
      new RegExp(`${first} .* releaser +git +execute +/a .* waits`),
    )
    expect(await approvals('show', first, ...at)).toMatchObject({
      stdout: expect.stringContaining('git (execute) on /a') as string,
      stderr: '',
    })
    expect((await document('list', ...at, '--run', run)).approvals).toMatchObject([{ id: first }])
    expect((await document('list', ...at, '--run', 'another')).approvals).toEqual([])
    const edited = ['--input', '{"args":["tag","v2"],"secret":"none"}', '--scope', 'session', '--reason', 'v1 is taken']
    // Whoever edits allows what it was edited to, once.
    expect(await approvals('allow', first, ...at, ...edited)).toMatchObject({
      code: 0,
      stdout: `${first} is allowed by person: v1 is taken, with {"args":["tag","v2"],"secret":"none"}\n`,
    })
    expect(await approvals('deny', first, ...at)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('was already allowed by person: v1 is taken') as string,
    })

    const second = await waiting(data, '/a')
    expect(await approvals('allow', second, ...at, '--scope', 'session')).toMatchObject({
      code: 0,
      stdout: `${second} is allowed for the session by person: allowed by the person\n`,
    })

    // The third is answered by the grant. Who says nothing else allows the one.
    const plain = await waiting(data, '/c')
    expect(await approvals('allow', plain, ...at)).toMatchObject({
      code: 0,
      stdout: `${plain} is allowed by person: allowed by the person\n`,
    })
    const third = await waiting(data, '/b')
    expect(await approvals('deny', third, ...at, '--reason', 'not\u001b[2J today')).toMatchObject({
      code: 0,
      stdout: `${third} is denied by person: not\\u{1b}[2J today\n`,
    })
    const [, outcome = ''] = await program.line(/outcome (?<outcome>.*)/)
    const answers: unknown = JSON.parse((JSON.parse(outcome) as { output: string }).output)
    expect(answers).toMatchObject([
      { allowed: true, input: { args: ['tag', 'v2'], secret: 'none' }, scope: 'once' },
      { allowed: true, scope: 'session' },
      { allowed: true, input: { args: ['tag', 'v1'] }, reason: 'granted for the session' },
      { allowed: true, scope: 'once' },
      { allowed: false, decider: 'person' },
    ])

    const { grants } = await document('grants', ...at)
    expect(grants).toMatchObject([{ scope: 'session', of: 'release', resource: '/a' }])
    expect((await approvals('grants', ...at)).stdout).toContain('session release')
    expect((await approvals('revoke', grants[0]?.id ?? '', ...at)).code).toBe(0)
    expect((await approvals('grants', ...at)).stdout).toBe('no grants\n')
    expect(await approvals('revoke', grants[0]?.id ?? '', ...at)).toMatchObject({
      code: 1,
      stderr: `greenroom: there is no grant ${grants[0]?.id}\n`,
    })
    expect((await approvals('list', ...at)).stdout).toBe('nothing waits for a decision\n')
    expect((await document('list', '--all', ...at)).approvals).toHaveLength(5)

    // Nobody else can come in, and nothing of what was asked is in a log.
    const socket = findApprovalsDoor(data) ?? ''
    expect(statSync(socket).mode & 0o777).toBe(0o600)
    expect(statSync(dirname(socket)).mode & 0o777).toBe(0o700)
    expect((await approvals('show', 'nobody', ...at)).stderr).toMatch(/^greenroom: .*approval/)
    program.process.kill('SIGTERM')
    const { code, stderr } = await program.ended
    expect(code).toBe(0)
    expect(stderr).not.toContain('planted-canary')
    expect(readdirSync(data).filter((name) => name.endsWith('-folder'))).toEqual([])
    expect(await approvals('list', ...at)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no runner has') as string,
    })
  },
)

test.for([
  [['list'], 2, "required option '--data <dir>'"],
  [['allow', 'x', '--data', '/nowhere', '--scope', 'ever'], 2, 'once, run, session'],
  [['allow', '../grants', '--data', '/nowhere'], 2, 'is no id'],
  [['allow', 'x', '--data', '/nowhere', '--input', '{'], 2, '--input takes JSON'],
  [['show', '-beginswith', '--data', '/nowhere'], 1, 'no runner has /nowhere in use'],
  [['list', '--data', '/nowhere'], 1, 'no runner has /nowhere in use'],
  [[], 2, 'which command? There is: list, show, allow, deny, grants, revoke'],
  [['alow', 'x', '--data', 'there'], 2, 'no command "alow". There is: list'],
  [['help', 'alow'], 2, 'help: there is no such command (see --help)'],
  [['--data', 'there', 'list'], 2, 'no option "--data". There is: list'],
] as const)('%j', async ([args, code, words]) => {
  const ended = await approvals(...args)
  expect(ended.stdout).toBe('')
  expect(ended.stderr).toContain(words)
  expect(ended.code).toBe(code)
})
