/** Secrets that must not be found anywhere, and are looked for everywhere. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { sourceArgs } from './broker-process.ts'
import { untilGone } from './kill/processes.ts'

/** No text that could be there by chance, nor parts of one another. */
const canaries = {
  token: 'canary-token-4b1f0c7d',
  declared: 'canary-declared-91c2ee',
  undeclared: 'canary-undeclared-7a03',
  thrown: 'canary-thrown-5d5d1f',
  environment: 'canary-environment-02be',
}
const all = Object.values(canaries)

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'greenroom-canaries-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What is to be seen of a process from outside. */
const cmdlineOf = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, 'utf8')
const environOf = (pid: number): string => readFileSync(`/proc/${pid}/environ`, 'utf8')

/** A process, and all that descend from it. */
function treeOf(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    try {
      const [, fields = ''] = readFileSync(`/proc/${name}/stat`, 'utf8').split(/\) /)
      const parent = Number(fields.split(' ')[1])
      children.set(parent, [...(children.get(parent) ?? []), Number(name)])
    } catch {
      // It has ended meanwhile.
    }
  }
  const from = (one: number): number[] => [one, ...(children.get(one) ?? []).flatMap(from)]
  return from(pid)
}

function filesIn(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

const found = (text: string): string[] => all.filter((canary) => text.includes(canary))

const stepsSchema = z.object({
  worker: z.number(),
  programs: z.object({ trusted: z.number(), other: z.number() }),
})

test('a secret is in the one program that it was handed to, and nowhere else', async () => {
  const at = (name: string): string => join(folder, name)
  for (const name of ['tmp', 'given']) mkdirSync(at(name), { mode: 0o700 })
  writeFileSync(at('given/token'), canaries.token, { mode: 0o600 })
  writeFileSync(at('given/canaries'), JSON.stringify(canaries), { mode: 0o600 })
  const written: string[] = []
  const env = { ...process.env, TMPDIR: at('tmp') }
  await using stack = new AsyncDisposableStack()
  const start = (args: readonly string[], more: NodeJS.ProcessEnv = {}): ReturnType<typeof spawn> => {
    const child = spawn(process.execPath, [...sourceArgs, ...args], { env: { ...env, ...more }, cwd: folder })
    stack.defer(() => void child.kill('SIGKILL'))
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => void written.push(text))
    return child
  }
  const cli = new URL('../../../packages/greenroom/src/cli.ts', import.meta.url).pathname
  const listen = ['--listen', '127.0.0.1:0', '--token-file', at('given/token')]
  const broker = start([cli, 'broker', '--data', at('broker'), ...listen])
  const [ready] = await once(createInterface(broker.stdout!), 'line')
  const url = /ws:\S+/.exec(String(ready))?.[0] ?? ''
  const program = new URL('canaries/parent.ts', import.meta.url).pathname
  const parent = start([program, at('runner'), url, at('given/token'), at('given/canaries')], {
    PROVIDER_KEY: canaries.environment,
  })
  const lines = createInterface(parent.stdout!)[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => JSON.parse(String((await lines.next()).value))
  const { worker, programs } = stepsSchema.parse(await next())
  const outcomes = [await next(), await next(), await next(), await next()]
  expect(outcomes).toMatchObject([
    { task: 'undeclared', outcome: { status: 'failed', code: 'SECRET_UNDECLARED' } },
    { task: 'throw', outcome: { status: 'failed', code: 'EXECUTOR_ERROR' } },
    { task: 'exit', outcome: { status: 'failed', code: 'WORKER_LOST' } },
    { task: 'never starts', outcome: { status: 'failed', code: 'SECRET_MISSING' } },
  ])
  await next()

  // While it runs: no argument and no environment of any process of both trees.
  const pids = [...treeOf(broker.pid ?? 0), ...treeOf(parent.pid ?? 0)]
  expect(pids).toEqual(expect.arrayContaining([worker, programs.trusted, programs.other]))
  const seen = pids.map((pid) => ({ pid, arguments: found(cmdlineOf(pid)), environment: found(environOf(pid)) }))
  expect(seen.filter((one) => one.arguments.length + one.environment.length > 0)).toEqual([
    { pid: parent.pid, arguments: [], environment: [canaries.environment] },
    { pid: programs.trusted, arguments: [], environment: [canaries.declared] },
  ])

  parent.stdin?.end()
  expect(await next()).toMatchObject({ task: 'keep on', outcome: { status: 'cancelled' } })
  await once(parent, 'exit')
  broker.kill('SIGTERM')
  await once(broker, 'exit')
  await untilGone(pids, 3 * 2_000)

  // What was written, and what was stored.
  expect(written.join('')).toMatch(/something broke[^]*UNAUTHORIZED/)
  expect(found(written.join(''))).toEqual([])
  const stored = [...filesIn(at('broker')), ...filesIn(at('runner')), ...filesIn(at('tmp'))]
  expect(stored.map((path) => path.slice(folder.length + 1))).toEqual(
    expect.arrayContaining(['broker/store.db', 'runner/store.db']),
  )
  expect(readFileSync(at('runner/store.db'), 'latin1')).toContain('the first words')
  for (const path of stored) {
    expect([path, found(readFileSync(path, 'latin1'))]).toEqual([path, []])
    expect([path, statSync(path).mode & 0o077]).toEqual([path, 0])
  }
}, 60_000)
