/** `greenroom backup`, `restore` and `doctor`: the real commands on real folders, in use and not. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DatabaseSync } from 'node:sqlite'
import { brokerSchema, createBroker } from '@greenroom/broker'
import { connectBus } from '@greenroom/bus'
import { openStore } from '@greenroom/store'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRunner, type AnyRunner } from '../src/index.ts'
import { start, temporaryFolder, type Ended, type Program } from './program.ts'

const cli = fileURLToPath(new URL('../src/cli.ts', import.meta.url))
const token = 'a-token-of-enough-length'
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const folder = temporaryFolder()
const at = {
  data: join(folder.path, 'data'),
  token: join(folder.path, 'token'),
  operator: join(folder.path, 'operator'),
  socket: join(folder.path, 'socket', 'bus'),
  backup: join(folder.path, 'backup.db'),
}
const url = `ws+unix://${at.socket}`
const access = ['--url', url, '--token-file', at.operator]

async function startBroker(data = at.data): Promise<Program> {
  const tokens = ['--token-file', at.token, '--operator-token-file', at.operator]
  const program = start(cli, ['broker', '--data', data, '--listen', `unix:${at.socket}`, ...tokens])
  await program.line(/ready at/)
  return program
}

async function stop(broker: Program): Promise<void> {
  broker.process.kill('SIGTERM')
  await broker.ended
}

async function greenroom(...args: readonly string[]): Promise<Ended> {
  await using program = start(cli, args)
  return await program.ended
}

async function refusal(...args: readonly string[]): Promise<readonly [code: number | null, line: string]> {
  const { code, stdout, stderr } = await greenroom(...args)
  expect(stdout).toBe('')
  expect(stderr).toMatch(/^greenroom: .*\n$/)
  return [code, stderr.slice('greenroom: '.length).trim()]
}

/** What a runner adds to the collections of its broker. */
const runnerLike = { version: brokerSchema.version, collections: ['run'] }

interface Report {
  readonly ok: boolean
  readonly checks: readonly { readonly check: string; readonly level: string; readonly text: string }[]
}

/** What the doctor finds: the checks' levels, and all of it. */
async function doctor(data: string): Promise<readonly [code: number | null, levels: object, report: Report]> {
  const { code, stdout } = await greenroom('doctor', '--data', data, '--json')
  const report = JSON.parse(stdout) as Report
  expect(report.ok).toBe(code === 0)
  return [code, Object.fromEntries(report.checks.map(({ check, level }) => [check, level])), report]
}

const textOf = (report: Report, name: string): string => report.checks.find(({ check }) => check === name)?.text ?? ''
const healthy = { owner: 'ok', schema: 'ok', integrity: 'ok', records: 'ok', payloads: 'ok', 'dead-letters': 'ok' }

async function send(...ids: readonly string[]): Promise<void> {
  await using bus = connectBus({ url, token })
  const peer = await bus.attach({ address: 'sender', incarnation: `s-${ids.join('-')}`, lifetime: 'named' })
  for (const id of ids) await peer.send({ to: 'inbox', id, kind: 'note', payload: bytes(`the payload of ${id}`) })
}

/** The files of a folder and what is in them. */
const contents = (dir: string): unknown =>
  readdirSync(dir)
    .toSorted()
    .map((name) => [name, readFileSync(join(dir, name)).toString('base64')])

let broker: Program

beforeAll(async () => {
  writeFileSync(at.token, `${token}\n`, { mode: 0o600 })
  writeFileSync(at.operator, 'an-operators-token\n', { mode: 0o600 })
  broker = await startBroker()
  await send('m1', 'm2')
})

afterAll(async () => {
  await broker[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

test('a running broker is examined and backed up, and has an owner by its pid', { timeout: 60_000 }, async () => {
  const [code, levels, report] = await doctor(at.data)
  expect([code, levels]).toEqual([0, { ...healthy, mailboxes: 'warn', disk: expect.any(String) }])
  expect(textOf(report, 'owner')).toContain(`process ${broker.process.pid} runs on it`)
  expect(textOf(report, 'mailboxes')).toContain('2 messages in 1 mailbox that nobody has')
  const { stdout } = await greenroom('doctor', '--data', at.data)
  expect(stdout.split('\n').map((line) => line.split(/ {2,}/).slice(0, 2))).toContainEqual(['ok', 'payloads'])
  expect(stdout).toContain(' -> attach a consumer, or greenroom mailboxes delete')

  const made = await greenroom('backup', ...access, '--to', at.backup, '--json')
  expect(made).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(made.stdout)).toEqual({ backup: { path: at.backup, bytes: readFileSync(at.backup).length } })
  await send('m3')
  // A second owner, and whoever would work on the folder itself, is refused by the pid.
  const belongs = `belongs to process ${broker.process.pid} `
  const [busy, why] = await refusal('backup', '--data', at.data, '--to', at.backup)
  expect([busy, why]).toEqual([1, expect.stringContaining(belongs)])
  const second = ['broker', '--data', at.data, '--listen', '127.0.0.1:0', '--token-file', at.token]
  expect(await refusal(...second)).toEqual([1, expect.stringContaining(belongs)])
})

describe('what is refused, in one line that names the flag', () => {
  test.each<[what: string, code: number, said: RegExp, words: () => readonly string[]]>([
    ['no broker', 2, /^which broker\?/, () => ['backup', '--to', at.backup]],
    ['no file', 2, /^required option '--to <file>'/, () => ['backup', ...access]],
    ['a path that is not absolute', 2, /must be absolute/, () => ['backup', ...access, '--to', 'backup.db']],
    ['a path in the data', 2, /inside the data folder/, () => ['backup', ...access, '--to', join(at.data, 'b.db')]],
    ['a file that is no backup', 2, /is no backup: it is not replaced/, () => ['backup', ...access, '--to', at.token]],
    [
      'no folder for it',
      2,
      /^There is no folder \S+no for/,
      () => ['backup', ...access, '--to', join(folder.path, 'no', 'b.db')],
    ],
    [
      'a token of a client',
      1,
      /^--token-file holds a client's token/,
      () => ['backup', ...access.slice(0, 3), at.token, '--to', at.backup],
    ],
    [
      'no data',
      2,
      /^--data: there is no broker's data/,
      () => ['backup', '--data', join(folder.path, 'none'), '--to', at.backup],
    ],
    [
      'no backup',
      2,
      /^--from: There is no backup at/,
      () => ['restore', '--from', join(folder.path, 'none'), '--data', join(folder.path, 'new')],
    ],
    [
      'what is no backup',
      2,
      /^--from: .* is no backup/,
      () => ['restore', '--from', join(at.data, 'store.db'), '--data', join(folder.path, 'new')],
    ],
    [
      'a folder that is in use',
      2,
      /^--data: .* is not empty/,
      () => ['restore', '--from', at.backup, '--data', at.data],
    ],
    [
      'a folder without data',
      2,
      /^--data: There is no database/,
      () => ['doctor', '--data', join(folder.path, 'none')],
    ],
  ])('%s', { timeout: 30_000 }, async (_, code, said, words) => {
    const [ended, line] = await refusal(...words())
    expect(line).toMatch(said)
    expect(ended).toBe(code)
    expect(existsSync(join(folder.path, 'new'))).toBe(false)
  })
})

test(
  'a stopped folder is examined without a change, backed up, restored, and begins a new life',
  { timeout: 90_000 },
  async () => {
    await stop(broker)
    const before = contents(at.data)
    expect((await doctor(at.data))[0]).toBe(0)
    expect(contents(at.data)).toEqual(before)
    expect(await greenroom('backup', '--data', at.data, '--to', at.backup)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^backed up to .*backup\.db \(\d.* KiB\)\n$/),
    })
    const restored = join(folder.path, 'restored')
    mkdirSync(restored)
    const { code, stdout } = await greenroom('restore', '--from', at.backup, '--data', restored)
    expect([code, stdout]).toEqual([0, expect.stringMatching(/the next start begins a new life\n$/)])
    const [, levels] = await doctor(restored)
    expect(levels).toEqual({ ...healthy, restored: 'warn', mailboxes: 'warn', disk: expect.any(String) })
    broker = await startBroker(restored)
    const list = JSON.parse((await greenroom('mailboxes', ...access, '--json')).stdout) as {
      readonly mailboxes: readonly { readonly address: string; readonly messages: number }[]
    }
    expect(list.mailboxes.find(({ address }) => address === 'inbox')?.messages).toBe(3)
    expect((await doctor(restored))[1]).toMatchObject({ restored: 'ok' })
    await stop(broker)
    expect(broker.process.exitCode).toBe(0)
  },
)

test('what is broken is found, and ends with 1', { timeout: 90_000 }, async () => {
  const damaged = join(folder.path, 'damaged')
  expect((await greenroom('restore', '--from', at.backup, '--data', damaged)).code).toBe(0)
  const path = join(damaged, 'store.db')
  const whole = readFileSync(path)
  const flipped = Buffer.from(whole)
  for (let from = whole.indexOf('the payload of m2'); from >= 0; from = whole.indexOf('the payload of m2', from + 1))
    flipped.writeUInt8(flipped.readUInt8(from) ^ 1, from)
  writeFileSync(path, flipped)
  {
    const [code, levels, report] = await doctor(damaged)
    expect([code, levels]).toMatchObject([1, { integrity: 'ok', payloads: 'fail' }])
    expect(textOf(report, 'payloads')).toBe('1 of 3 messages damaged: inbox/0000000000000002')
  }
  // A backup of what is damaged says which file that is, and does not replace a good one.
  const good = readFileSync(at.backup)
  const backUp = (): Promise<unknown> => refusal('backup', '--data', damaged, '--to', at.backup)
  const headless = Buffer.from(whole)
  for (const page of [5, 6]) headless.fill(0xff, page * 8192, page * 8192 + 12)
  const broken = { filled: Buffer.from(whole).fill(9, 8192 * 3, 8192 * 6), headless, noise: Buffer.alloc(20_000, 'no') }
  for (const [what, content] of Object.entries(broken)) {
    writeFileSync(path, content)
    const [code, levels, report] = await doctor(damaged)
    expect([what, code, levels]).toMatchObject([what, 1, { integrity: 'fail', disk: expect.any(String) }])
    expect(textOf(report, 'integrity')).not.toMatch(/\*\*\*|and 0 more/)
    expect(await backUp()).toEqual([1, expect.stringMatching(/^--data: .*store\.db is (?:damaged: |not a readable)/)])
    expect(readFileSync(at.backup)).toEqual(good)
  }
  // Records of whatever collection, a runner's too, of which a broker knows nothing.
  writeFileSync(path, whole)
  {
    await using store = await openStore({ dir: damaged, schema: runnerLike, thread: false })
    for (const key of ['r1', 'r2']) await store.commit([{ put: 'run', key, meta: { runId: key } }])
  }
  {
    using db = new DatabaseSync(path)
    db.exec(`UPDATE run SET meta = '{"runId":' WHERE key = 'r2'`)
  }
  {
    const [code, levels, report] = await doctor(damaged)
    expect([code, levels]).toMatchObject([1, { integrity: 'ok', records: 'fail', payloads: 'ok' }])
    expect(textOf(report, 'records')).toMatch(/^1 of \d+ records are not as they were written: run r2$/)
  }
  // Newer data, which a broker refuses to open as well.
  rmSync(damaged, { recursive: true })
  await (await openStore({ dir: damaged, schema: { version: 99, collections: ['message'] }, thread: false })).close()
  const before = contents(damaged)
  expect((await doctor(damaged)).slice(0, 2)).toMatchObject([1, { schema: 'fail' }])
  const newer = ['broker', '--data', damaged, '--listen', '127.0.0.1:0', '--token-file', at.token]
  expect(await refusal(...newer)).toEqual([
    1,
    expect.stringMatching(/^--data: .* has schema version 99; this program knows/),
  ])
  expect((await greenroom('backup', '--data', damaged, '--to', at.backup)).code).toBe(0)
  expect(await refusal('restore', '--from', at.backup, '--data', join(folder.path, 'newer'))).toEqual([
    1,
    expect.stringMatching(/^--from: .* has schema version 99/),
  ])
  expect(contents(damaged)).toEqual(before)
})

test(
  'a running runner is asked by its data folder, and what is restored of it begins nothing again',
  { timeout: 90_000 },
  async () => {
    using own = temporaryFolder()
    const at = (name: string): string => join(own.path, name)
    // No worker is ever asked: the run waits.
    const open = (dataDir: string): Promise<AnyRunner> =>
      createRunner({ worker: { command: ['false'] }, roles: { never: { executor: 'never' } }, dataDir, quiet: true })
    let id = ''
    {
      await using runner = await open(at('data'))
      id = (await runner.start({ role: 'never', task: 'x', delayMs: 600_000 })).id
      // Relative to where the command is, not to where the runner is.
      await using program = start(cli, ['backup', '--data', at('data'), '--to', 'b.db', '--json'], { cwd: own.path })
      const { code, stdout, stderr } = await program.ended
      expect([code, stderr]).toEqual([0, ''])
      expect(JSON.parse(stdout)).toEqual({ backup: { path: at('b.db'), bytes: readFileSync(at('b.db')).length } })
      const mailboxes = await greenroom('mailboxes', '--data', at('data'))
      expect([mailboxes.code, mailboxes.stdout]).toEqual([0, expect.stringContaining('attached')])
      expect((await doctor(at('data')))[0]).toBe(0)
      expect(await refusal('backup', '--data', at('data'), '--to', at('data/b.db'))).toEqual([
        2,
        expect.stringContaining('inside the data folder'),
      ])
      await runner.close()
    }
    expect((await greenroom('restore', '--from', at('b.db'), '--data', at('restored'))).code).toBe(0)
    expect((await doctor(at('restored')))[1]).toMatchObject({ ...healthy, restored: 'warn' })
    await using runner = await open(at('restored'))
    const [run, ...others] = await runner.resume()
    expect([run?.id, others]).toEqual([id, []])
    expect(await run?.outcome).toMatchObject({ code: 'OUTCOME_UNKNOWN', mayStillRun: true })
  },
)

test(
  'of a running runner with a broker elsewhere it is told what backs it up: that broker does not have its journal',
  { timeout: 60_000 },
  async () => {
    using own = temporaryFolder()
    const at = (name: string): string => join(own.path, name)
    await using bus = await createBroker({ dir: at('bus'), token, listen: { socket: at('socket') } })
    const roles = { never: { executor: 'never' } }
    await using runner = await createRunner({
      worker: { command: ['false'] },
      roles,
      dataDir: at('data'),
      bus: { url: `ws+unix://${at('socket')}`, token },
      quiet: true,
    })
    const belongs = `--data: .*belongs to process ${process.pid} since .*`
    expect(await refusal('backup', '--data', at('data'), '--to', at('b.db'))).toEqual([
      1,
      expect.stringMatching(new RegExp(`^${belongs}Stop it, or let it do it: runner.backup.path..$`)),
    ])
    const elsewhere = `--data: there is no broker's data in ${at('data')}: its runner has a broker elsewhere. Ask that one by --url.`
    expect(await refusal('mailboxes', '--data', at('data'))).toEqual([2, elsewhere])
    expect(await refusal('backup', '--data', at('bus'), '--to', at('b.db'))).toEqual([
      1,
      expect.stringMatching(new RegExp(`^${belongs}Ask it by --url.$`)),
    ])
    expect(existsSync(at('b.db'))).toBe(false)
    await runner.close()
    // Stopped as well: a broker would add its own to the journal.
    const before = contents(at('data'))
    expect(await refusal('mailboxes', '--data', at('data'))).toEqual([2, elsewhere])
    expect(await refusal('dead-letters', 'list', '--data', at('data'))).toEqual([2, elsewhere])
    expect(contents(at('data'))).toEqual(before)
    expect(await refusal('backup', '--data', at('data'), '--to', at('no/b.db'))).toEqual([
      2,
      `--to: There is no folder ${at('no')} for the backup.`,
    ])
    expect((await greenroom('backup', '--data', at('data'), '--to', at('b.db'))).code).toBe(0)
    await bus.close()
  },
)
