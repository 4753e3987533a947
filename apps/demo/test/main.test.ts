import { mkdirSync, readdirSync, realpathSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test, vi } from 'vitest'
import { runDemo, startDemo, startOnTerminal } from './demo.ts'
import { independentCount } from './independent-count.ts'
import { emptyTree, madeTree, slowTree } from './made-tree.ts'

// Several processes a test, on whatever machine.
vi.setConfig({ testTimeout: 120_000 })

const repository = fileURLToPath(new URL('../../..', import.meta.url))
const typescript = realpathSync(fileURLToPath(new URL('../node_modules/typescript', import.meta.url)))

/** Data folders that surveys have now. */
const dataFolders = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('greenroom-survey-'))

describe('a survey comes to the same numbers as an independent count', () => {
  test('of this repository, however many children', async () => {
    const expected = independentCount('git', repository)
    const reports = []
    for (const children of [1, 3, 16]) {
      const { code, report, stdout } = await runDemo([repository, '--children', String(children), '--yes'])
      expect(code).toBe(0)
      expect(report.children.filter(({ parent }) => parent === null)).toHaveLength(children)
      expect(stdout).toContain(`# Survey of \`${realpathSync(repository)}\``)
      const { children: runs, history, ...rest } = report
      expect(history.approval).toMatchObject({ allowed: true, decider: 'policy', reason: '--yes' })
      expect(runs.reduce((files, run) => files + run.files, 0)).toBe(report.totals.files)
      reports.push(rest)
    }
    expect(reports[0]?.totals).toEqual(expected.totals)
    expect(reports[0]?.longest).toEqual(expected.longest)
    expect(reports[0]?.todos).toHaveLength(expected.todos)
    expect(reports[1]).toEqual(reports[0])
    expect(reports[2]).toEqual(reports[0])
  })

  test('of an installed package that git ignores', async () => {
    const { code, report } = await runDemo([typescript])
    const expected = independentCount('all', typescript)
    expect(code).toBe(0)
    expect(report.totals).toEqual(expected.totals)
    expect(report.longest).toEqual(expected.longest)
    expect(report.todos).toHaveLength(expected.todos)
  })

  test.each(['git', 'all'] as const)('of a tree of everything strange (%s)', async (mode) => {
    using tree = madeTree()
    if (mode === 'git') {
      tree.git('init')
      tree.git('add', 'plain.ts', 'crlf.txt')
    }
    const expected = independentCount(mode, tree.root)
    const { code, report, stdout } = await runDemo([tree.root, '--children', '3'])
    expect(code).toBe(0)
    expect(report.totals).toEqual(expected.totals)
    expect(report.todos).toHaveLength(expected.todos)
    expect(report.languages['Ruby']).toEqual({ files: 1, lines: 2, bytes: 14 })
    // oxlint-disable-next-line no-control-regex -- that is what must not be there
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
  })

  test('of a folder inside a repository', async () => {
    const folder = join(repository, 'packages/proto')
    const { report } = await runDemo(['.'], { cwd: tmpdir(), env: { INIT_CWD: folder } })
    expect(report.totals).toEqual(independentCount('git', folder).totals)
  })
})

test('JSON has exactly the promised fields', async () => {
  using tree = emptyTree()
  tree.write('a.ts', 'const a = 1 // TODO\n')
  const { report } = await runDemo([tree.root, '--children', '4'])
  expect(report).toEqual({
    totals: { files: 1, lines: 1, bytes: 20 },
    languages: { TypeScript: { files: 1, lines: 1, bytes: 20 } },
    longest: [{ path: 'a.ts', lines: 1 }],
    todos: [{ path: 'a.ts', line: 1, text: 'const a = 1 // TODO' }],
    children: [
      {
        name: '1',
        runId: expect.stringMatching(/^[\w.-]+$/),
        parent: null,
        role: 'surveyor',
        placement: 'local',
        host: hostname(),
        worker: { pid: expect.any(Number), warm: false, miss: 'the first worker of its kind' },
        pass: 1,
        attempts: 1,
        status: 'completed',
        ms: expect.any(Number),
        files: 1,
      },
    ],
    history: {
      runId: expect.stringMatching(/^[\w.-]+$/),
      role: 'historian',
      placement: 'local',
      host: hostname(),
      worker: { pid: expect.any(Number) },
      status: 'completed',
      ms: expect.any(Number),
      approval: null,
      told: null,
      why: 'it is not in a git work tree',
    },
  })
})

test('from the second pass on the surveyors find their workers warm, where they were, and count the same', async () => {
  const folder = join(repository, 'packages/store')
  const once = await runDemo([folder, '--children', '4'])
  const { code, report, stdout } = await runDemo([folder, '--children', '4', '--repeat', '3'])
  expect(code).toBe(0)
  expect({ ...report, children: [], history: null }).toEqual({ ...once.report, children: [], history: null })
  const inPass = (which: number): unknown[] =>
    report.children
      .filter(({ pass }) => pass === which)
      .map(({ placement, worker: { warm, miss } }) => [placement, warm, miss].join())
      .sort()
  expect(inPass(1)).toEqual([
    'local,false,every worker like it is in use',
    'local,false,the first worker of its kind',
    'pool,true,',
    'remote,true,',
  ])
  for (const pass of [2, 3]) expect(inPass(pass)).toEqual(['local,true,', 'local,true,', 'pool,true,', 'remote,true,'])
  expect(new Set(report.children.map(({ worker }) => worker.pid)).size).toBe(4)
  expect(stdout).toMatch(
    /10 of 12 runs found a warm worker\. The same files took [\d,]+ ms with it, [\d,]+ ms with a fresh one \(medians of 4 and 2 /,
  )
})

describe('while it runs', () => {
  test('off a terminal it tells in plain lines, and leaves nothing behind', async () => {
    const before = dataFolders()
    using tree = emptyTree()
    for (let n = 0; n < 4; n++) tree.write(`${n}.txt`, 'x\n')
    const { code, stderr } = await runDemo([tree.root, '--children', '2'])
    expect(code).toBe(0)
    expect(stderr).toMatch(/^surveyor 1 \(pid \d+\): completed, 2 of 2 files in \d+ ms$/m)
    expect(stderr).toMatch(/^surveyor 2 \(pid \d+, pool\): completed, 2 of 2 files in \d+ ms$/m)
    expect(stderr).toContain('kill -9')
    // oxlint-disable-next-line no-control-regex -- that is what must not be there
    expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
    expect(dataFolders().filter((name) => !before.includes(name))).toEqual([])
  })

  test('on a terminal it keeps a row a child, cut to its width, and the cursor comes back', async () => {
    using tree = emptyTree()
    for (let n = 0; n < 4; n++) tree.write(`${n}.txt`, 'x\n')
    await using demo = startOnTerminal([tree.root, '--children', '4'], { columns: 28, rows: 20 })
    const { code, stdout } = await demo.ended
    expect(code).toBe(0)
    expect(stdout).toContain('\u001b[?25l')
    expect(stdout.lastIndexOf('\u001b[?25h')).toBeGreaterThan(stdout.lastIndexOf('\u001b[?25l'))
    const lines = stripVTControlCharacters(stdout).split('\r\n')
    const rows = lines.filter((line) => line.startsWith(' #'))
    expect(rows.length).toBeGreaterThan(0)
    expect(Math.max(...rows.map((row) => row.length))).toBe(27)
    expect(stdout).toContain(' #4  completed')
  })

  test.each(['SIGINT', 'SIGTERM'] as const)('%s cancels the surveyors and ends it in order', async (signal) => {
    const before = dataFolders()
    using tree = slowTree()
    await using demo = startDemo([tree.root, '--children', '2'])
    const [, pid] = await demo.said(/surveyor 1 \(pid (\d+)\): running/)
    demo.process.kill(signal)
    const { code, stdout, stderr } = await demo.ended
    expect(code).toBe(signal === 'SIGINT' ? 130 : 143)
    expect(stdout).toBe('')
    expect(stderr).toContain('stopping the surveyors')
    expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH')
    expect(dataFolders().filter((name) => !before.includes(name))).toEqual([])
  })

  test('a second SIGINT does not wait, and leaves nothing behind either', async () => {
    const before = dataFolders()
    using tree = slowTree()
    await using demo = startDemo([tree.root, '--children', '2'])
    const [, pid] = await demo.said(/surveyor 1 \(pid (\d+)\): running/)
    // It cannot end in order any more.
    process.kill(Number(pid), 'SIGSTOP')
    const start = performance.now()
    demo.process.kill('SIGINT')
    await demo.said(/stopping the surveyors/)
    await sleep(Math.max(0, start + 600 - performance.now()))
    demo.process.kill('SIGINT')
    const { code, stderr } = await demo.ended
    expect(code).toBe(130)
    expect(performance.now() - start).toBeLessThan(5_000)
    expect(stderr).not.toContain('the others go on')
    expect(dataFolders().filter((name) => !before.includes(name))).toEqual([])
  })

  test('after a signal no further surveyor is started', async () => {
    using tree = emptyTree()
    const name = 'n'.repeat(200)
    for (let n = 0; n < 12_000; n++) tree.write(`${name}-${n}.txt`, 'x\n')
    await using demo = startDemo([tree.root, '--children', '1'])
    await demo.said(/surveyor 1 \(pid \d+\): running/)
    demo.process.kill('SIGINT')
    expect((await demo.ended).stderr).not.toMatch(/surveyor [2-9]/)
  })

  test('whoever reads along may stop', async () => {
    using tree = emptyTree()
    tree.write('a.txt', 'x\n')
    await using demo = startDemo([tree.root])
    demo.process.stderr?.destroy()
    demo.process.stdout?.destroy()
    expect((await demo.ended).code).toBe(0)
  })

  test('on a terminal that does not say how large it is it tells in plain lines', async () => {
    using tree = emptyTree()
    tree.write('a.txt', 'x\n')
    await using demo = startOnTerminal([tree.root], { columns: 0, rows: 0 })
    const { code, stdout } = await demo.ended
    expect(code).toBe(0)
    expect(stdout).toMatch(/surveyor 1 \(pid \d+\): completed/)
  })

  test('who had no time to kill anyone is told what takes longer', async () => {
    using tree = emptyTree()
    tree.write('a.txt', 'x\n')
    await using demo = startOnTerminal([tree.root], { columns: 80, rows: 20 })
    const { stdout } = await demo.ended
    expect(stripVTControlCharacters(stdout).trimEnd()).toMatch(/too quick to kill one.*npm start -- \/usr$/)
  })

  test('Ctrl-C on a terminal does so, and the cursor comes back', async () => {
    using tree = slowTree()
    await using demo = startOnTerminal([tree.root, '--children', '2'], { columns: 100, rows: 20 })
    await demo.said(/#2 +running/)
    demo.process.stdin?.write('\u0003')
    const { code, stdout } = await demo.ended
    expect(code).toBe(130)
    expect(stdout.lastIndexOf('\u001b[?25h')).toBeGreaterThan(stdout.lastIndexOf('\u001b[?25l'))
  })

  test('two surveys at the same time do not get into each other’s way', async () => {
    using tree = madeTree()
    const [one, two] = await Promise.all([runDemo([tree.root]), runDemo([tree.root])])
    expect([one?.code, two?.code]).toEqual([0, 0])
    expect(one?.report.totals).toEqual(two?.report.totals)
  })
})

describe('bad input is one line and exit code 2', () => {
  test.each([
    ['no such folder', ['nowhere'], 'no such folder'],
    ['a file', ['file'], 'not a folder'],
    ['a folder below a file', ['file/below'], 'not a folder'],
    ['an empty folder', ['empty'], 'no files'],
    ['an empty name', [''], 'no name'],
    ['two folders', ['.', 'empty'], 'too many arguments'],
    ['no number of children', ['.', '--children', 'many'], 'whole number from 1 to 64'],
    ['no children', ['.', '--children', '0'], 'whole number from 1 to 64'],
    ['too many children', ['.', '--children', '65'], 'whole number from 1 to 64'],
    ['a part of a child', ['.', '--children', '1.5'], 'whole number from 1 to 64'],
    ['no depth', ['.', '--depth', '0'], 'whole number from 1 to 5'],
    ['more depth than runs may have', ['.', '--depth', '6'], 'whole number from 1 to 5'],
    ['JSON into no folder', ['.', '--json', 'nowhere/report.json'], 'no such folder'],
    ['JSON into a folder', ['.', '--json', 'empty'], 'is a folder'],
    ['an unknown option', ['--nonsense'], 'unknown option'],
  ])('%s', async (_, args, says) => {
    using tree = emptyTree()
    writeFileSync(join(tree.root, 'file'), 'x\n')
    mkdirSync(join(tree.root, 'empty'))
    await using demo = startDemo(args, { cwd: tree.root })
    const { code, stdout, stderr } = await demo.ended
    expect(stderr.split('\n')).toEqual([expect.stringContaining(says), ''])
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })
})

test('--help answers on standard output', async () => {
  await using demo = startDemo(['--help'])
  expect(await demo.ended).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('--children') })
})
