/** Secrets that must not be found anywhere, and are looked for everywhere. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
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
  remote: 'canary-remote-token-66a1',
}
const all = Object.values(canaries)

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'greenroom-canaries-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

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

/** A program of ours, all of whose output is collected. */
function starter(stack: AsyncDisposableStack, written: string[]) {
  return (args: readonly string[], more: NodeJS.ProcessEnv = {}): ReturnType<typeof spawn> => {
    const env = { ...process.env, TMPDIR: join(folder, 'tmp'), ...more }
    const child = spawn(process.execPath, [...sourceArgs, ...args], { env, cwd: folder })
    stack.defer(() => void child.kill('SIGKILL'))
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => void written.push(text))
    return child
  }
}

const cli = new URL('../../../packages/greenroom/src/cli.ts', import.meta.url).pathname

test('a secret is in the one program that it was handed to, and nowhere else', async () => {
  const at = (name: string): string => join(folder, name)
  for (const name of ['tmp', 'given']) mkdirSync(at(name), { mode: 0o700 })
  writeFileSync(at('given/token'), canaries.token, { mode: 0o600 })
  writeFileSync(at('given/canaries'), JSON.stringify(canaries), { mode: 0o600 })
  const written: string[] = []
  await using stack = new AsyncDisposableStack()
  const start = starter(stack, written)
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

const placedSchema = z.object({ programs: z.object({ trusted: z.number(), other: z.number() }) })

test('the same with residents: a remote over wss, and a member of a pool', async () => {
  const at = (name: string): string => join(folder, name)
  for (const name of ['tmp', 'given']) mkdirSync(at(name), { mode: 0o700 })
  for (const name of ['token', 'remote', 'declared'] as const)
    writeFileSync(at(`given/${name}`), `${canaries[name]}\n`, { mode: 0o600 })
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
  const who = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  const [cert, key] = [at('given/cert'), at('given/key')]
  execFileSync('openssl', ['req', '-x509', ...curve, ...who, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  chmodSync(key, 0o600)
  const written: string[] = []
  await using stack = new AsyncDisposableStack()
  const start = starter(stack, written)
  const ready = async (child: ReturnType<typeof spawn>): Promise<string> => {
    const [line] = await once(createInterface(child.stdout!), 'line')
    return /wss?:\S+/.exec(String(line))?.[0] ?? ''
  }
  const listen = ['--listen', '127.0.0.1:0', '--token-file']
  const broker = start([cli, 'broker', '--data', at('broker'), ...listen, at('given/token')])
  const url = await ready(broker)
  const worker = new URL('canaries/worker.ts', import.meta.url).pathname
  const secret = ['--secret', `DECLARED=${at('given/declared')}`]
  const resident = { PROVIDER_KEY: canaries.environment }
  const pool = ['--bus', url, '--role', 'crew', '--token-file', at('given/token')]
  const member = start([cli, 'worker', worker, ...pool, ...secret], resident)
  const tls = ['--tls-cert', cert, '--tls-key', key, '--data', at('remote')]
  const endpoint = start([cli, 'worker', worker, ...listen, at('given/remote'), ...tls, ...secret], resident)
  const [remote] = await Promise.all([ready(endpoint), ready(member)])
  const program = new URL('canaries/placed-parent.ts', import.meta.url).pathname
  const given = [at('runner'), url, at('given/token'), remote, at('given/remote'), cert]
  const parent = start([program, ...given], resident)
  const lines = createInterface(parent.stdout!)[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => JSON.parse(String((await lines.next()).value))
  const trusted: number[] = []
  for (const role of ['pool', 'remote']) {
    expect([await next(), await next()]).toMatchObject([
      { role, task: 'undeclared', outcome: { status: 'failed', code: 'SECRET_UNDECLARED' } },
      { role, task: 'throw', outcome: { status: 'failed', code: 'EXECUTOR_ERROR' } },
    ])
    trusted.push(placedSchema.parse(await next()).programs.trusted)
  }

  // While it runs: no argument and no environment of any process of all trees.
  const commands = [broker, member, endpoint, parent].map(({ pid = 0 }) => pid)
  const pids = commands.flatMap(treeOf)
  expect(pids).toEqual(expect.arrayContaining(trusted))
  const seen = pids.map((pid) => ({ pid, arguments: found(cmdlineOf(pid)), environment: found(environOf(pid)) }))
  expect(
    seen.filter((one) => one.arguments.length + one.environment.length > 0).toSorted((a, b) => a.pid - b.pid),
  ).toEqual(
    [
      ...commands.slice(1).map((pid) => ({ pid, arguments: [], environment: [canaries.environment] })),
      ...trusted.map((pid) => ({ pid, arguments: [], environment: [canaries.declared] })),
    ].toSorted((a, b) => a.pid - b.pid),
  )

  parent.stdin?.end()
  await once(parent, 'exit')
  for (const command of [member, endpoint]) {
    command.kill('SIGTERM')
    await once(command, 'exit')
  }
  broker.kill('SIGTERM')
  await once(broker, 'exit')
  await untilGone(pids, 3 * 2_000)

  expect(written.join('')).toMatch(/the worker says something/)
  expect(found(written.join(''))).toEqual([])
  const stored = ['broker', 'runner', 'remote', 'tmp'].flatMap((name) => filesIn(at(name)))
  const stores = ['broker/store.db', 'runner/store.db', 'remote/store.db'].map(at)
  expect(stored).toEqual(expect.arrayContaining(stores))
  expect(readFileSync(at('runner/store.db'), 'latin1')).toContain('the first words')
  for (const path of stored) {
    expect([path, found(readFileSync(path, 'latin1'))]).toEqual([path, []])
    expect([path, statSync(path).mode & 0o077]).toEqual([path, 0])
  }
}, 120_000)
