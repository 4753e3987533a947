/** Surveyors that have children of their own, all of them real processes. */
import { describe, expect, test, vi } from 'vitest'
import { runDemo, startDemo, startOnTerminal } from './demo.ts'
import { emptyTree, slowTree, type MadeTree } from './made-tree.ts'
import { leftOf, descendantsOf } from './processes.ts'

// Several processes a test, on whatever machine.
vi.setConfig({ testTimeout: 120_000 })

/** Many small files: worth three generations of one surveyor. */
function manyFiles(): MadeTree {
  const tree = emptyTree()
  for (let n = 0; n < 240; n++) tree.write(`${n}.txt`, 'x\n'.repeat(n))
  return tree
}

const totals = { files: 240, lines: (239 * 240) / 2, bytes: 239 * 240 }

describe('whoever has the largest share splits it among children of its own', () => {
  test.each([
    [1, ['1', '2']],
    [2, ['1', '1.1', '1.2', '2']],
    [3, ['1', '1.1', '1.1.1', '1.1.2', '1.2', '2']],
  ] as const)('in %i generations, which come to the same numbers', async (depth, names) => {
    using tree = manyFiles()
    for (let n = 240; n < 480; n++) tree.write(`${n}.txt`, '')
    const { code, report, stderr, stdout } = await runDemo([tree.root, '--children', '2', '--depth', String(depth)])
    expect(code).toBe(0)
    expect(report.totals).toEqual({ ...totals, files: 480 })
    expect(report.children.map(({ name }) => name)).toEqual(names)
    expect(report.children.reduce((files, run) => files + run.files, 0)).toBe(480)
    const runIds = new Map(report.children.map(({ name, runId }) => [name, runId]))
    for (const { name, parent, placement, status, files } of report.children) {
      const above = name.slice(0, Math.max(0, name.lastIndexOf('.')))
      expect(parent).toBe(runIds.get(above) ?? null)
      expect([placement, status]).toEqual([name === '2' ? 'pool' : 'local', 'completed'])
      expect(files).toBeGreaterThan(0)
      expect(stderr).toMatch(
        new RegExp(`^surveyor ${name} \\(pid \\d+(, pool)?\\): completed, ${files} of ${files} `, 'm'),
      )
      expect(stdout).toMatch(new RegExp(`^\\| +(└ )?surveyor ${name} `, 'm'))
    }
    expect(new Set(report.children.map(({ worker }) => worker.pid)).size).toBe(names.length)
  })

  test('again and again the same way, with warm workers', async () => {
    using tree = manyFiles()
    const { report } = await runDemo([tree.root, '--children', '1', '--repeat', '2'])
    expect(report.totals).toEqual(totals)
    expect(report.children.map(({ name, pass }) => [name, pass])).toEqual([
      ['1', 1],
      ['1.1', 1],
      ['1.2', 1],
      ['2', 2],
      ['2.1', 2],
      ['2.2', 2],
    ])
    const [first, second] = [1, 2].map((which) => report.children.filter(({ pass }) => pass === which))
    expect(second?.map(({ files }) => files)).toEqual(first?.map(({ files }) => files))
    expect(second?.map(({ worker }) => worker.warm)).toEqual([true, true, true])
  })

  test('but not one that is not worth it', async () => {
    using tree = emptyTree()
    for (let n = 0; n < 20; n++) tree.write(`${n}.txt`, 'x\n')
    const { report } = await runDemo([tree.root, '--children', '1', '--depth', '5'])
    expect(report.children).toHaveLength(1)
  })
})

test('on a terminal children stand below their parent', async () => {
  using tree = manyFiles()
  await using demo = startOnTerminal([tree.root, '--children', '1'], { columns: 100, rows: 20 })
  const { stdout } = await demo.ended
  expect(stdout).toMatch(/ #1 +completed .*\r\n └ #1\.1 {2}completed .*\r\n └ #1\.2 {2}completed /)
})

describe('when one is killed with -9', () => {
  const pidOf = async (demo: ReturnType<typeof startDemo>, name: string): Promise<number> =>
    Number((await demo.said(new RegExp(`surveyor ${name} \\(pid (\\d+)\\): running`)))[1])

  test('a child of a surveyor is lost, and its parent and the others go on', async () => {
    using tree = slowTree()
    await using demo = startDemo([tree.root, '--children', '1'])
    const pid = await pidOf(demo, '1\\.2')
    process.kill(pid, 'SIGKILL')
    const { code, stdout, stderr } = await demo.ended
    expect(stderr).toMatch(new RegExp(`surveyor 1\\.2 \\(pid ${pid}\\) did not complete: WORKER_LOST`))
    for (const name of ['1', '1\\.1'])
      expect(stderr).toMatch(new RegExp(`surveyor ${name} \\(pid \\d+\\): completed, `))
    expect(stdout).toContain('**Partial:** 1 of 3 children did not complete')
    expect(code).toBe(1)
  })

  test('a surveyor takes its children with it, and nobody else', async () => {
    using tree = slowTree()
    await using demo = startDemo([tree.root, '--children', '2'])
    for (const name of ['1\\.1', '1\\.2']) await pidOf(demo, name)
    const before = descendantsOf(demo.process.pid)
    process.kill(await pidOf(demo, '1'), 'SIGKILL')
    const { code, stdout, stderr } = await demo.ended
    expect(stderr).toMatch(/surveyor 1 \(pid \d+\) did not complete: WORKER_LOST/)
    for (const name of ['1\\.1', '1\\.2'])
      expect(stderr).toMatch(
        new RegExp(`surveyor ${name} \\(pid \\d+\\) did not complete: cancelled: its parent ended as failed`),
      )
    expect(stderr).toMatch(/surveyor 2 \(pid \d+, pool\): completed, /)
    expect(stdout).toContain('**Partial:** 3 of 4 children did not complete')
    expect(code).toBe(1)
    expect(await leftOf(before, 5_000)).toEqual([])
  })
})
