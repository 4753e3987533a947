/** The historian: a gated call, decided on by whoever is there. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test, vi } from 'vitest'
import { HistoryBuilder } from '../src/history.ts'
import { Places } from '../src/places.ts'
import { runDemo, startOnTerminal } from './demo.ts'
import { emptyTree, slowTree, type MadeTree } from './made-tree.ts'
import { descendantsOf } from './processes.ts'

// Several processes a test, on whatever machine.
vi.setConfig({ testTimeout: 60_000 })

/** A repository with a past: three commits by two people. */
function repository(): MadeTree {
  const tree = emptyTree()
  tree.git('init')
  const commit = (author: string, day: number): void => {
    tree.git('add', '.')
    tree.git(
      '-c',
      `user.name=${author}`,
      'commit',
      '--allow-empty',
      '-m',
      `day ${day}`,
      '--date',
      '2001-01-01T00:00:00Z',
    )
  }
  tree.write('a.txt', '1\n')
  tree.write('sub/b.txt', '1\n')
  commit('Ada', 1)
  tree.write('a.txt', '2\n')
  tree.write('new\nline "ü".txt', '1\n')
  writeFileSync(Buffer.concat([Buffer.from(`${tree.root}/caf`), Buffer.of(0xe9)]), '1\n')
  commit('Grace\u2028Hopper', 2)
  tree.write('a.txt', '3\n')
  commit('Ada', 3)
  return tree
}

/** It is about the historian. */
const ONE = ['--children', '1', '--depth', '1']

const size = { columns: 100, rows: 20 }

describe('--yes lets it', () => {
  test('and it tells what git knows', async () => {
    using tree = repository()
    const { code, report, stdout } = await runDemo([tree.root, ...ONE, '--yes'])
    expect(code).toBe(0)
    const dates = execFileSync('git', ['log', '--format=%cI'], { cwd: tree.root, encoding: 'utf8' }).trim().split('\n')
    expect(report.history).toMatchObject({
      role: 'historian',
      placement: 'local',
      status: 'completed',
      why: null,
      approval: {
        tool: 'git',
        permission: 'execute',
        resource: tree.root,
        input: { args: expect.arrayContaining(['log', '--name-only']) },
        allowed: true,
        decider: 'policy',
        reason: '--yes',
      },
      told: {
        commits: 3,
        isAll: true,
        first: dates.at(-1),
        last: dates[0],
        authorCount: 2,
        authors: [
          { name: 'Ada', commits: 2 },
          { name: 'Grace\u2028Hopper', commits: 1 },
        ],
        changed: [
          { path: 'a.txt', commits: 3 },
          { path: 'caf\udce9', commits: 1 },
          { path: 'new\nline "ü".txt', commits: 1 },
          { path: 'sub/b.txt', commits: 1 },
        ],
      },
    })
    expect(stdout).toContain('`git log` was allowed by a policy (--yes).')
  })

  test('of a folder it tells what changed there', async () => {
    using tree = repository()
    const { report } = await runDemo([join(tree.root, 'sub'), ...ONE, '--yes'])
    expect(report.history.told).toMatchObject({ commits: 1, changed: [{ path: 'b.txt', commits: 1 }] })
  })

  test('whatever a repository is set up to run is not run', async () => {
    using tree = repository()
    const trap = (name: string): string => `sh -c 'touch ${join(tree.root, name)}'`
    for (const setting of ['core.fsmonitor', 'core.pager', 'pager.log', 'diff.external', 'gpg.program'])
      tree.git('config', setting, trap(`ran-${setting}`))
    tree.git('config', 'log.showSignature', 'true')
    tree.git('config', 'color.ui', 'always')
    const { report } = await runDemo([tree.root, ...ONE, '--yes'])
    expect(report.history.told).toMatchObject({ commits: 3 })
    expect(report.history.told?.changed[0]).toEqual({ path: 'a.txt', commits: 3 })
    expect(execFileSync('find', [tree.root, '-name', 'ran-*'], { encoding: 'utf8' })).toBe('')
  })

  test.each([
    ['diff.orderFile', '.git/endless'],
    ['mailmap.file', '.git/endless'],
    ['i18n.logOutputEncoding', 'UTF-16LE'],
  ])('and its %s does not matter', async (setting, value) => {
    using tree = repository()
    // Whoever opens it for reading waits for ever.
    execFileSync('sh', ['-c', 'mkfifo "$0"', join(tree.root, '.git/endless')])
    tree.git('config', setting, value)
    const { code, report, stdout } = await runDemo([tree.root, ...ONE, '--yes'])
    expect(code).toBe(0)
    expect(report.history.told).toMatchObject({
      commits: 3,
      authorCount: 2,
      first: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      changed: expect.arrayContaining([{ path: 'a.txt', commits: 3 }]),
    })
    expect(stdout).not.toContain('\u0000')
  })
})

test('without a terminal it is denied at once, which is no failure', async () => {
  using tree = repository()
  const { code, report, stdout, stderr } = await runDemo([tree.root, ...ONE])
  expect(code).toBe(0)
  expect(report.totals.files).toBe(4)
  const why = 'denied: nobody is there who could be asked, by the system'
  expect(report.history).toMatchObject({ status: 'failed', told: null, why, approval: { decider: 'system' } })
  expect(stdout).toContain(`No history: ${why}`)
  expect(stderr).toMatch(/^historian \(pid \d+\): denied: /m)
  expect(stdout).not.toContain('Partial')
})

describe('where there is nothing to tell nobody is asked, and it says so', () => {
  test.each([
    ['a folder outside git', () => emptyTree(), {}, 'it is not in a git work tree'],
    ['without git', () => repository(), { PATH: '/nowhere' }, 'git is not installed'],
    [
      'an empty repository',
      () => {
        const tree = emptyTree()
        tree.git('init')
        return tree
      },
      {},
      'nothing of it is committed',
    ],
  ] as const)('%s', async (_, make, env, why) => {
    using tree = make()
    tree.write('a.txt', 'x\n')
    const { code, report, stdout } = await runDemo([tree.root, ...ONE], { env })
    expect(code).toBe(0)
    expect(report.history).toMatchObject({ status: 'completed', approval: null, told: null, why })
    expect(stdout).toContain(`No history: ${why}\n`)
  })

  test('an ignored folder inside a repository', async () => {
    using tree = repository()
    mkdirSync(join(tree.root, 'ignored'))
    tree.write('.gitignore', 'ignored\n')
    tree.write('ignored/a.txt', 'x\n')
    const { report } = await runDemo([join(tree.root, 'ignored'), ...ONE])
    expect(report.history.why).toBe('nothing of it is committed')
  })
})

test('a repository that git cannot read is a failure of its own', async () => {
  using tree = repository()
  // The commit before the last one is gone.
  const [, second = ''] = execFileSync('git', ['log', '--format=%H'], { cwd: tree.root, encoding: 'utf8' }).split('\n')
  execFileSync('rm', ['-f', join(tree.root, '.git/objects', second.slice(0, 2), second.slice(2))])
  const { code, report } = await runDemo([tree.root, ...ONE, '--yes'])
  expect(code).toBe(1)
  expect(report.history).toMatchObject({ status: 'failed', told: null, why: expect.stringMatching(/GIT_FAILED: .+/) })
  expect(report.totals.files).toBe(4)
})

test('a repository that keeps git waiting is given up, and git is ended', async () => {
  using tree = repository()
  using folder = emptyTree()
  // Its own list of names, which no setting turns off.
  execFileSync('sh', ['-c', 'mkfifo "$0"', join(tree.root, '.mailmap')])
  const options = {
    root: tree.root,
    folder: folder.root,
    children: 1,
    depth: 1,
    signal: new AbortController().signal,
    logger: { warn: () => undefined, output: () => undefined },
    approvals: { policy: () => ({ allow: true }) },
    historianMs: 3_000,
  }
  await using places = await Places.open(options)
  expect(await places.startHistorian().outcome).toMatchObject({ status: 'timeout', which: 'total' })
  const gits = (): unknown[] => descendantsOf(process.pid).filter(({ command }) => command.includes('--name-only'))
  await vi.waitFor(() => expect(gits()).toEqual([]), { timeout: 10_000 })
})

describe('on a terminal it asks', () => {
  test.each([
    ['does what a person allows', 'y', '`git log` was allowed by a person.'],
    ['does not what a person denies', 'n it is friday', 'No history: denied: it is friday, by a person'],
  ])('and %s', async (_, answer, says) => {
    using tree = repository()
    await using demo = startOnTerminal([tree.root, ...ONE], size)
    await demo.said(/historian wants to use git \(execute\) on /)
    await demo.said(/or \[n\]o\?/)
    demo.process.stdin?.write(`${answer}\r`)
    const { code, stdout } = await demo.ended
    expect(code).toBe(0)
    expect(stdout).toContain(says)
    expect(stdout.lastIndexOf('\u001b[?25h')).toBeGreaterThan(stdout.lastIndexOf('\u001b[?25l'))
  })

  test('and nothing is drawn over its question', async () => {
    using tree = slowTree()
    tree.git('init')
    tree.git('add', '0.txt')
    tree.git('commit', '-m', 'one')
    await using demo = startOnTerminal([tree.root, ...ONE], size)
    await demo.said(/or \[n\]o\?/)
    // Rows are drawn ten times a second; surveyors work meanwhile.
    await sleep(2_000)
    demo.process.stdin?.write('y\r')
    const [, meanwhile = ''] = await demo.said(/or \[n\]o\? ([^\r]*)y\r/)
    expect(stripVTControlCharacters(meanwhile)).toBe('')
    await demo.said(/#1 {2}running/)
  })

  test('and Ctrl-C stops the survey', async () => {
    using tree = slowTree()
    tree.git('init')
    tree.git('add', '0.txt')
    tree.git('commit', '-m', 'one')
    await using demo = startOnTerminal([tree.root, ...ONE], size)
    await demo.said(/or \[n\]o\?/)
    demo.process.stdin?.write('\u0003')
    const { code, stdout } = await demo.ended
    expect(code).toBe(130)
    expect(stdout).toContain('stopping the surveyors')
    expect(stdout).not.toContain('# Survey of')
  })
})

test('what is no date is not told', () => {
  const builder = new HistoryBuilder()
  expect(builder.add('\u0001\u001b[2J\tAda')).toBe(true)
  expect(builder.add('\u00012020-01-01T00:00:00+01:00\tAda')).toBe(true)
  expect(builder.add('\u00012019-01-01\u0000\tAda')).toBe(true)
  const day = '2020-01-01T00:00:00+01:00'
  expect(builder.told()).toMatchObject({ commits: 3, first: day, last: day })
})

test('a file whose name looks like a commit is not taken for one', () => {
  const builder = new HistoryBuilder()
  expect(builder.add('\u00012020-01-01T00:00:00Z\tAda')).toBe(true)
  expect(builder.add('')).toBe(false)
  expect(builder.add(String.raw`"\0012020-01-01T00:00:00Z\tEve"`)).toBe(false)
  expect(builder.told()).toMatchObject({
    commits: 1,
    changed: [{ path: '\u00012020-01-01T00:00:00Z\tEve', commits: 1 }],
  })
})
