/** `greenroom mailboxes` and `greenroom dead-letters`: the real command against a real broker, running and stopped. */
import { existsSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connectBus } from '@greenroom/bus'
import type { Delivery } from '@greenroom/proto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { start, temporaryFolder, type Ended, type Program } from './program.ts'

const cli = fileURLToPath(new URL('../src/cli.ts', import.meta.url))
const token = 'a-token-of-enough-length'
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
/** What comes back this often is a dead letter. */
const maxAttempts = 16

const folder = temporaryFolder()
const at = {
  data: join(folder.path, 'data'),
  token: join(folder.path, 'token'),
  operator: join(folder.path, 'operator'),
  socket: join(folder.path, 'socket', 'bus'),
}
const url = `ws+unix://${at.socket}`
const access = ['--url', url, '--token-file', at.operator]
let broker: Program
let lives = 0

/** The consumer of `victim`: each time another life of it. */
function nextLife() {
  lives += 1
  return { address: 'victim', incarnation: `v${lives}`, lifetime: 'named' } as const
}

async function startBroker(): Promise<Program> {
  const tokens = ['--token-file', at.token, '--operator-token-file', at.operator]
  const program = start(cli, ['broker', '--data', at.data, '--listen', `unix:${at.socket}`, ...tokens])
  await program.line(/ready at/)
  return program
}

/** Runs the command to its end. */
async function greenroom(...args: readonly string[]): Promise<Ended> {
  await using program = start(cli, args)
  return await program.ended
}

/** Runs it and expects it to say why it did not do it, in one line. */
async function refusal(...args: readonly string[]): Promise<readonly [code: number | null, line: string]> {
  const { code, stdout, stderr } = await greenroom(...args)
  expect(stdout).toBe('')
  expect(stderr).toMatch(/^greenroom: .*\n$/)
  return [code, stderr.slice('greenroom: '.length).trim()]
}

/** Makes dead letters of these messages to `victim`. */
async function poison(letters: Readonly<Record<string, Uint8Array>>): Promise<void> {
  await using bus = connectBus({ url, token })
  const { promise, resolve } = Promise.withResolvers<void>()
  let left = Object.keys(letters).length * maxAttempts
  const onMessage = (message: Delivery): void =>
    void message.nack().then(() => {
      left -= 1
      if (left === 0) resolve()
    })
  await using victim = await bus.attach({ ...nextLife(), onMessage })
  for (const [id, payload] of Object.entries(letters)) await victim.send({ to: 'victim', id, kind: 'note', payload })
  await promise
}

/** What waits in a mailbox, acked as it comes. */
async function take(count: number): Promise<readonly (readonly [string, number, string])[]> {
  await using bus = connectBus({ url, token })
  const came: [string, number, string][] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const onMessage = (message: Delivery): void => {
    came.push([message.id, message.attempt, new TextDecoder().decode(message.payload)])
    void message.ack().then(() => {
      if (came.length === count) resolve()
    })
  }
  await using _ = await bus.attach({ ...nextLife(), onMessage })
  await promise
  return came
}

beforeAll(async () => {
  writeFileSync(at.token, `${token}\n`, { mode: 0o600 })
  writeFileSync(at.operator, 'an-operators-token\n', { mode: 0o600 })
  broker = await startBroker()
})

afterAll(async () => {
  await broker[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

describe('on a running broker', () => {
  test('nothing is there at first, and it says so', async () => {
    expect(await greenroom('mailboxes', ...access)).toMatchObject({ code: 0, stdout: 'no mailboxes\n' })
    expect(await greenroom('mailboxes', ...access, '--json')).toMatchObject({ stdout: '{"mailboxes":[]}\n' })
    expect(await greenroom('dead-letters', 'list', ...access)).toMatchObject({ code: 0, stdout: 'no dead letters\n' })
  })

  test('dead letters are listed, shown, requeued and purged', { timeout: 60_000 }, async () => {
    const json = { text: 'good', code: 7 }
    await poison({
      json: bytes(JSON.stringify(json)),
      text: bytes('plain \u001B[31mred'),
      binary: new Uint8Array([255, 0]),
      other: bytes('x'.repeat(2_000)),
    })

    const mailboxes = await greenroom('mailboxes', ...access)
    expect(mailboxes.stdout.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['MAILBOX', 'LIFETIME', 'STATE', 'INCARNATION', 'MESSAGES', 'HELD', 'SIZE', 'OLDEST', 'DEAD'],
      ['victim', 'named', 'free', '-', '0', '0', '0 B', '-', '4'],
      [''],
    ])
    const document: unknown = JSON.parse((await greenroom('mailboxes', '--json', ...access)).stdout)
    const victim = {
      address: 'victim',
      lifetime: 'named',
      state: 'free',
      messages: 0,
      held: 0,
      bytes: 0,
      deadLetters: 4,
    }
    expect(document).toEqual({ mailboxes: [victim] })

    const list = await greenroom('dead-letters', 'list', 'victim', ...access)
    const cells = list.stdout.split('\n').map((line) => line.split(/ {2,}/))
    expect(cells[0]).toEqual(['MAILBOX', 'ID', 'KIND', 'FROM', 'SIZE', 'AGE', 'ATTEMPTS', 'LAST'])
    expect(cells.slice(1, -1).map(([, id, , , size, , attempts]) => [id, size, attempts])).toEqual([
      ['binary', '2 B', '16'],
      ['json', '24 B', '16'],
      ['other', '2.0 KiB', '16'],
      ['text', '14 B', '16'],
    ])

    const shown = await greenroom('dead-letters', 'show', 'victim', 'json', ...access)
    expect(shown.stdout).toMatch(/^mailbox {3}victim\nid {8}json\nkind {6}note\nfrom {6}victim \(v1\)\n/)
    expect(shown.stdout.match(/nack, v1\n/g)).toHaveLength(maxAttempts)
    expect(shown.stdout.endsWith('payload as json:\n{\n  "text": "good",\n  "code": 7\n}\n')).toBe(true)
    const text = await greenroom('dead-letters', 'show', 'victim', 'text', ...access)
    // A terminal does not obey what somebody sent.
    expect(text.stdout.endsWith('payload as text:\nplain \\u001b[31mred\n')).toBe(true)
    const binary: unknown = JSON.parse(
      (await greenroom('dead-letters', 'show', 'victim', 'binary', '--json', ...access)).stdout,
    )
    expect(binary).toMatchObject({
      deadLetter: { address: 'victim', id: 'binary', attempts: 16, history: expect.any(Array) },
      payload: { encoding: 'base64', value: '/wA=' },
    })

    const requeued = await greenroom('dead-letters', 'requeue', 'victim', 'json', 'other', '--json', ...access)
    expect(requeued).toMatchObject({ code: 0, stdout: '{"requeued":["json","other"]}\n' })
    expect(await take(2)).toEqual([
      ['json', 1, JSON.stringify(json)],
      ['other', 1, 'x'.repeat(2_000)],
    ])
    const partly = await refusal('dead-letters', 'purge', 'victim', 'text', 'json', ...access)
    expect(partly).toEqual([1, 'purged 1, then: mailbox victim has no dead letter json'])
    expect(await greenroom('dead-letters', 'purge', 'victim', '--all', ...access)).toMatchObject({
      code: 0,
      stdout: 'purged 1 of victim\n',
    })
    const nothing = [1, 'mailbox victim has no dead letters']
    expect(await refusal('dead-letters', 'purge', 'victim', '--all', ...access)).toEqual(nothing)
    expect(await refusal('dead-letters', 'requeue', 'victim', '--all', ...access)).toEqual(nothing)
    const noLetter = [1, 'mailbox victim has no dead letter json']
    expect(await refusal('dead-letters', 'show', 'victim', 'json', ...access)).toEqual(noLetter)
  })

  test('a mailbox that somebody has stays, one that nobody has is deleted', { timeout: 60_000 }, async () => {
    await using bus = connectBus({ url, token })
    await using peer = await bus.attach({ address: 'owned', incarnation: 'o1', lifetime: 'named' })
    await peer.send({ to: 'left', id: 'm1', kind: 'note', payload: bytes('hello') })
    expect(await refusal('mailboxes', 'delete', 'owned', ...access)).toEqual([1, 'o1 has the mailbox owned'])
    expect(await refusal('mailboxes', 'delete', 'none', ...access)).toEqual([1, 'there is no mailbox none'])
    expect(await greenroom('mailboxes', 'delete', 'left', ...access)).toMatchObject({
      code: 0,
      stdout: 'deleted left\n',
    })
    expect((await greenroom('mailboxes', ...access)).stdout).not.toContain('left')
  })

  test('a client may do none of it', { timeout: 60_000 }, async () => {
    const client = ['--url', url, '--token-file', at.token]
    const commands = [
      ['mailboxes'],
      ['mailboxes', 'delete', 'victim'],
      ['dead-letters', 'list'],
      ['dead-letters', 'show', 'victim', 'm'],
      ['dead-letters', 'requeue', 'victim', 'm'],
      ['dead-letters', 'purge', 'victim', 'm'],
    ]
    for (const words of commands) {
      const said = "--token-file holds a client's token: give the one of greenroom broker --operator-token-file"
      expect(await refusal(...words, ...client)).toEqual([1, said])
    }
  })
})

test(
  'on the data folder: refused while the broker runs, the same when it is stopped',
  { timeout: 60_000 },
  async () => {
    await poison({ kept: bytes('kept') })
    const [code, line] = await refusal('dead-letters', 'list', '--data', at.data)
    expect(code).toBe(1)
    expect(line).toContain(`belongs to process ${broker.process.pid} `)
    expect(line).toMatch(/^--data: .* Ask it by --url\.$/)
    broker.process.kill('SIGTERM')
    await broker.ended
    const list: unknown = JSON.parse((await greenroom('dead-letters', 'list', '--data', at.data, '--json')).stdout)
    expect(list).toMatchObject({ deadLetters: [{ address: 'victim', id: 'kept' }] })
    expect(await greenroom('dead-letters', 'requeue', 'victim', 'kept', '--data', at.data)).toMatchObject({
      code: 0,
      stdout: 'requeued 1 to victim\n',
    })
    broker = await startBroker()
    expect(await take(1)).toEqual([['kept', 1, 'kept']])
  },
)

describe('what is wrong is one line, and the flag is named', () => {
  const none = join(folder.path, 'none')
  const loop = join(folder.path, 'loop')
  symlinkSync(loop, loop)
  test.each<[what: string, code: number, said: RegExp, words: readonly string[]]>([
    ['no broker', 2, /^which broker\? Give --url with --token-file, or --data$/, ['mailboxes']],
    [
      'two brokers',
      2,
      /^--url and --data exclude each other: --url is a broker that runs, --data /,
      ['mailboxes', '--data', at.data, ...access],
    ],
    ['no token', 2, /^--url goes together with --token-file$/, ['mailboxes', '--url', url]],
    ['a token for a folder', 2, /^--token-file and --ca go with --url/, ['mailboxes', '--data', none, '--ca', cli]],
    ['no data', 2, /^--data: there is no broker's data in /, ['mailboxes', '--data', none]],
    ['data that nobody can see', 1, /^--data: .*ELOOP.*loop/, ['mailboxes', '--data', loop]],
    ['a misspelt flag', 2, /^unknown option '--ulr' \(Did you mean --url\?\)$/, ['mailboxes', '--ulr', url]],
    ['one that is needed', 2, /^unknown option '--dtaa' \(Did you mean --data\?\)$/, ['doctor', '--dtaa', none]],
    [
      'no address',
      2,
      /^--url: .*http:\/\/nowhere/,
      ['mailboxes', '--url', 'http://nowhere', '--token-file', at.operator],
    ],
    [
      'nobody there',
      1,
      /^no connection to ws:\/\/127\.0\.0\.1:1: /,
      ['mailboxes', '--url', 'ws://127.0.0.1:1', '--token-file', at.operator],
    ],
    ['a word too many', 2, /^too many arguments/, ['mailboxes', 'nonsense', ...access]],
    ['nothing to do', 2, /^which command\? There is: list, show/, ['dead-letters']],
    [
      'no letter named',
      2,
      /^which dead letters\? Give their ids, or --all$/,
      ['dead-letters', 'purge', 'victim', ...access],
    ],
    ['some and all', 2, /^which dead letters\?/, ['dead-letters', 'requeue', 'victim', 'm', '--all', ...access]],
    ['no mailbox named', 2, /^missing required argument 'address'/, ['dead-letters', 'show', ...access]],
    ['an address that is none', 2, /\.\.\/x/, ['dead-letters', 'show', '../x', 'm', ...access]],
  ])('%s', async (_, code, said, words) => {
    const [ended, line] = await refusal(...words)
    expect(line).toMatch(said)
    expect(ended).toBe(code)
  })

  test('to look into a folder makes none', () => {
    expect(existsSync(none)).toBe(false)
  })
})
