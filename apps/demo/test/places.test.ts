/** Children at all places, all of them real processes. */
import { connectBus } from '@greenroom/bus'
import { codeOf } from 'greenroom'
import { readdirSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { runDemo, startDemo, type Demo } from './demo.ts'
import { emptyTree, slowTree } from './made-tree.ts'
import { descendantsOf, leftOf, parentOf } from './processes.ts'

// Several processes a test, on whatever machine.
vi.setConfig({ testTimeout: 90_000 })

/** Waits until a surveyor works at a place; says its process. */
async function pidAt(demo: Demo, place: 'local' | 'pool' | 'remote'): Promise<number> {
  const where = place === 'local' ? '' : `, ${place}`
  const [, pid] = await demo.said(new RegExp(`surveyor \\d+ \\(pid (\\d+)${where}\\): running`))
  return Number(pid)
}

test('children work in a process of their own at each place', async () => {
  using tree = slowTree()
  await using demo = startDemo([tree.root, '--children', '3'])
  const pids = [await pidAt(demo, 'local'), await pidAt(demo, 'pool'), await pidAt(demo, 'remote')] as const
  expect(new Set([demo.process.pid, ...pids]).size).toBe(4)
  const [own, pool, remote] = pids.map(parentOf)
  expect(own?.pid).toBe(demo.process.pid)
  expect(pool?.command).toMatch(/ worker \S+ --bus ws:\/\/127\.0\.0\.1:\d+ --role surveyors /)
  expect(remote?.command).toMatch(/ worker \S+ --listen 127\.0\.0\.1:0 --tls-cert /)
})

test('whoever reads the token of a resident worker can do no more than that worker', async () => {
  using tree = slowTree()
  await using demo = startDemo([tree.root, '--children', '3'])
  const [pool, remote] = [parentOf(await pidAt(demo, 'pool')), parentOf(await pidAt(demo, 'remote'))]
  const [, url = ''] = / --bus (\S+)/.exec(pool.command) ?? []
  const [ofPool, ofRemote] = [pool, remote].map(({ command }) => {
    const [, file = ''] = / --token-file (\S+)/.exec(command) ?? []
    return readFileSync(file, 'utf8').trim()
  })
  const attach = async (token: string | undefined, address: string): Promise<string> => {
    await using bus = connectBus({ url, token: token ?? '' })
    const peer = bus.attach({ address, incarnation: 'i', lifetime: 'incarnation' })
    return await peer.then(
      () => 'attached',
      (error: unknown) => codeOf(error) ?? String(error),
    )
  }
  expect(await attach(ofPool, 'resident.pool.x')).toBe('attached')
  for (const mailbox of ['runner.x', 'runner.home.x', 'worker.home.x', 'resident.x'])
    expect(await attach(ofPool, mailbox)).toBe('FORBIDDEN')
  expect(ofRemote).not.toBe(ofPool)
  expect(await attach(ofRemote, 'resident.pool.x')).toBe('UNAUTHORIZED')
})

test.each([
  [1, ['local']],
  [2, ['local', 'pool']],
  [3, ['local', 'pool', 'remote']],
  [5, ['local', 'local', 'local', 'pool', 'remote']],
] as const)('of %i children there is at most one at the pool and one at the remote', async (children, places) => {
  using tree = emptyTree()
  for (let n = 0; n < 6; n++) tree.write(`${n}.txt`, 'x\n')
  const { code, report, stdout } = await runDemo([tree.root, '--children', String(children)])
  expect(code).toBe(0)
  expect(report.totals.files).toBe(6)
  expect(report.children.map(({ placement }) => placement).sort()).toEqual(places)
  expect(new Set(report.children.map(({ host }) => host))).toEqual(new Set([hostname()]))
  for (const { placement, worker } of report.children)
    expect(stdout).toMatch(new RegExp(`\\| surveyor \\d +\\| +1 \\| +${worker.pid} \\| ${placement}, ${hostname()} `))
})

describe('a child that is killed with -9 is said to be lost, and the others go on', () => {
  test.each([
    ['local', 'worker'],
    ['pool', 'worker'],
    ['pool', 'command'],
    ['remote', 'worker'],
    ['remote', 'command'],
  ] as const)('%s: its %s', async (place, what) => {
    using tree = slowTree()
    await using demo = startDemo([tree.root, '--children', '3', '--depth', '1'])
    const pid = await pidAt(demo, place)
    process.kill(what === 'worker' ? pid : parentOf(pid).pid, 'SIGKILL')
    const { code, stdout, stderr } = await demo.ended
    const where = place === 'local' ? '' : `, ${place}`
    // A pool worker that outlives its command has time to tell why it ends.
    const why = place === 'pool' && what === 'command' ? '(WORKER_LOST|cancelled: the owner)' : 'WORKER_LOST'
    expect(stderr).toMatch(new RegExp(`\\(pid ${pid}${where}\\) did not complete: ${why}`))
    expect(stderr.match(/: completed, \d+ of \d+ files/g)).toHaveLength(2)
    expect(stdout).toContain('**Partial:** 1 of 3 children did not complete')
    expect(code).toBe(1)
  })
})

test('a place that cannot be opened is said to be so, and its files are counted here', async () => {
  using tree = emptyTree()
  for (let n = 0; n < 4; n++) tree.write(`${n}.txt`, 'x\n')
  using temporary = emptyTree()
  using hook = emptyTree()
  // Only a remote worker listens.
  const words = "{ console.error('no port'); process.exit(1) }"
  hook.write('end.cjs', `if (process.argv.includes('--listen')) ${words}\n`)
  const { code, stderr, report } = await runDemo([tree.root, '--children', '4'], {
    env: { TMPDIR: temporary.root },
    options: ['--require', join(hook.root, 'end.cjs')],
  })
  expect(code).toBe(0)
  expect(stderr).toMatch(/^no remote worker, its files are counted here: it ended \(exit code 1\): no port$/m)
  expect(report.children.map(({ placement }) => placement).sort()).toEqual(['local', 'local', 'local', 'pool'])
  expect(report.totals.files).toBe(4)
  expect(readdirSync(temporary.root)).toEqual([])
})

describe('nothing is left behind', () => {
  test.each([
    ['when it has ended', undefined],
    ['after Ctrl-C', 'SIGINT'],
    ['after kill -9', 'SIGKILL'],
  ] as const)('%s', async (_, signal) => {
    using tree = slowTree()
    using temporary = emptyTree()
    await using demo = startDemo([tree.root, '--children', '3'], { env: { TMPDIR: temporary.root } })
    for (const place of ['local', 'pool', 'remote'] as const) await pidAt(demo, place)
    const processes = descendantsOf(demo.process.pid)
    // Three workers, two commands, a guard for each, the historian gone or not, and who sees to the folder.
    expect(processes.length).toBeGreaterThanOrEqual(11)
    expect(readdirSync(temporary.root)).toEqual([expect.stringMatching(/^greenroom-survey-/)])
    if (signal !== undefined) demo.process.kill(signal)
    await demo.ended
    expect(await leftOf(processes, 5_000)).toEqual([])
    expect(readdirSync(temporary.root)).toEqual([])
  })
})
