import { chmodSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { connectBus } from '@greenroom/bus'
import { codeOf } from '@greenroom/proto'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { start, temporaryFolder, type Program } from './program.ts'

const cli = fileURLToPath(new URL('../src/cli.ts', import.meta.url))
const token = 'a-token-of-enough-length'

/** A folder with a token file in it. */
function place(): Disposable & { readonly data: string; readonly tokenFile: string; readonly path: string } {
  const folder = temporaryFolder()
  const tokenFile = join(folder.path, 'token')
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 })
  return { ...folder, data: join(folder.path, 'data'), tokenFile }
}

const broker = (at: { data: string; tokenFile: string }, ...more: string[]): Program =>
  start(cli, ['broker', '--data', at.data, '--token-file', at.tokenFile, ...more])

const ready = async (program: Program): Promise<string> => (await program.line(/ready at (\S+)\n/))[1] ?? ''

/** Reads a page of the broker. */
async function page(url: string): Promise<{ status: number | undefined; body: string }> {
  const request = get(url.replace(/^ws/, 'http'))
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage]
  response.setEncoding('utf8')
  return { status: response.statusCode, body: (await response.toArray()).join('') }
}

/** What the broker answers to an upgrade with this token. */
async function upgrade(url: string, bearer: string): Promise<number | undefined> {
  const request = get(url.replace(/^ws/, 'http'), {
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      'sec-websocket-protocol': 'greenroom.1',
      authorization: `Bearer ${bearer}`,
    },
  })
  const [response] = (await Promise.race([once(request, 'response'), once(request, 'upgrade')])) as [
    import('node:http').IncomingMessage,
  ]
  request.destroy()
  return response.statusCode
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('greenroom broker', () => {
  test('says in one line where it is ready, is healthy, and refuses a wrong token with 401', async () => {
    using at = place()
    await using program = broker(at, '--listen', '127.0.0.1:0')
    const url = await ready(program)
    expect(url).toMatch(/^ws:\/\/127\.0\.0\.1:\d+/)
    expect((await page(`${url.replace(/\/$/, '')}/healthz`)).status).toBe(200)
    expect(await upgrade(url, 'a-wrong-token-of-some-length')).toBe(401)
    expect(await upgrade(url, token)).toBe(101)
    await using bus = connectBus({ url, token: 'a-wrong-token-of-some-length' })
    const refused = bus.attach({ address: 'a', incarnation: 'i', lifetime: 'named' })
    await expect(refused.catch((error: unknown) => codeOf(error))).resolves.toBe('UNAUTHORIZED')
    expect(program.stdout.split('\n')).toHaveLength(2)
  })

  test('killed with -9 and started again on the same data, it has every message it gave a receipt for', async () => {
    using at = place()
    await using first = broker(at, '--listen', '127.0.0.1:0')
    {
      await using bus = connectBus({ url: await ready(first), token })
      const sender = await bus.attach({ address: 'sender', incarnation: 'i1', lifetime: 'named' })
      for (let n = 0; n < 20; n++)
        await sender.send({ to: 'inbox', id: `m${n}`, kind: 'note', payload: bytes(`text ${n}`) })
      first.process.kill('SIGKILL')
      expect((await first.ended).signal).toBe('SIGKILL')
      await sender.close()
    }
    await using second = broker(at, '--listen', '127.0.0.1:0')
    await using bus = connectBus({ url: await ready(second), token })
    const arrived: string[] = []
    const all = Promise.withResolvers<void>()
    await bus.attach({
      address: 'inbox',
      incarnation: 'i2',
      lifetime: 'named',
      onMessage(message) {
        arrived.push(new TextDecoder().decode(message.payload))
        void message.ack()
        if (arrived.length === 20) all.resolve()
      },
    })
    await all.promise
    expect(arrived).toEqual(Array.from({ length: 20 }, (_, n) => `text ${n}`))
  })

  test.each(['SIGTERM', 'SIGINT'] as const)('%s drains it: it leaves in order', async (signal) => {
    using at = place()
    await using program = broker(at, '--listen', `unix:${join(at.path, 'bus')}`)
    expect(await ready(program)).toMatch(/^ws\+unix:.*bus/)
    program.process.kill(signal)
    expect(await program.ended).toMatchObject({ code: 0, signal: null })
  })

  test('goes on when nobody reads any more what it says', async () => {
    using at = place()
    await using program = broker(at, '--listen', '127.0.0.1:0')
    await using bus = connectBus({ url: await ready(program), token })
    program.process.stdout?.destroy()
    program.process.stderr?.destroy()
    let attempts = 0
    const peer = await bus.attach({
      address: 'poisoned',
      incarnation: 'i',
      lifetime: 'named',
      // Given back so often that the broker says so and lays it aside.
      onMessage: (message) => void message.nack().then(() => (attempts = message.attempt)),
    })
    await peer.send({ to: 'poisoned', id: 'm', kind: 'note', payload: bytes('x') })
    while (attempts < 16) await setImmediate()
    for (let n = 0; n < 3; n++) await peer.send({ to: 'inbox', id: `m${n}`, kind: 'note', payload: bytes('x') })
    program.process.kill('SIGTERM')
    expect(await program.ended).toMatchObject({ code: 0, signal: null })
  })

  test('a relative path of a socket is relative to where it was started', async () => {
    using at = place()
    await using program = start(
      cli,
      ['broker', '--data', at.data, '--token-file', at.tokenFile, '--listen', 'unix:here.sock'],
      { cwd: at.path },
    )
    expect(await ready(program)).toContain(join(at.path, 'here.sock'))
  })

  test('with --json it says the same as JSON', async () => {
    using at = place()
    await using program = broker(at, '--listen', '127.0.0.1:0', '--json')
    const [line] = await program.line(/.*\n/)
    expect(JSON.parse(line)).toEqual({ level: 'info', event: 'ready', url: expect.stringMatching(/^ws:/) })
  })
})

describe('what keeps it from starting is one line', () => {
  /** Starts it and expects it to fail. */
  async function failure(program: Program): Promise<{ code: number | null; line: string }> {
    await using _ = program
    const { code, stdout, stderr } = await program.ended
    expect(stdout).toBe('')
    expect(stderr.split('\n')).toEqual([expect.any(String), ''])
    return { code, line: stderr.trim() }
  }

  test('a data folder in use: exit code 1', async () => {
    using at = place()
    await using first = broker(at, '--listen', '127.0.0.1:0')
    await ready(first)
    const { code, line } = await failure(broker(at, '--listen', '127.0.0.1:0'))
    expect(code).toBe(1)
    expect(line).toContain(String(first.process.pid))
    expect(line).toMatch(/--data: .*\. Stop it, or give this one another folder\.$/)
  })

  test('an address in use: exit code 1', async () => {
    using at = place()
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    const { code, line } = await failure(broker(at, '--listen', `127.0.0.1:${port}`))
    expect(code).toBe(1)
    expect(line).toContain('EADDRINUSE')
    expect(line).toContain('--listen: ')
  })

  test.each<
    [what: string, flag: RegExp, { token?: string; mode?: number; data?: string; listen?: string; more?: string[] }]
  >([
    ['a token that is too short', /^the token in --token-file must have at least 16/, { token: 'short' }],
    [
      'a token with a space',
      /^the token in --token-file must be printable ASCII/,
      { token: 'a token of enough length' },
    ],
    ['a token file that others may read', /^--token-file: other users .* chmod 600/, { mode: 0o644 }],
    ['no token file', /^--token-file: cannot read \S+: ENOENT/, { more: ['--token-file', '/nowhere/token'] }],
    ['no data folder', /^--data must be a path/, { data: '' }],
    ['an address that is none', /^--listen is HOST:PORT/, { listen: 'nowhere' }],
    ['a word too many', /^too many arguments/, { more: ['serve'] }],
    ['a certificate without key', /^--cert and --key go together/, { more: ['--cert', cli] }],
    ['no certificate', /^--cert: cannot read \S+: ENOENT/, { more: ['--cert', '/nowhere/cert', '--key', 'token'] }],
    ['no key', /^--key: cannot read \S+: ENOENT/, { more: ['--cert', cli, '--key', '/nowhere/key'] }],
    [
      'a key that others may reach',
      /^--key: other users .* chmod 600/,
      { more: ['--cert', cli, '--key', '/dev/null'] },
    ],
    [
      'a certificate that is none',
      /^--cert \S+ and --key \S+ are no cert/,
      { more: ['--cert', cli, '--key', 'token'] },
    ],
    [
      'another machine may reach it, without TLS',
      /^--listen 0\.0\.0\.0 is not loopback: give --cert and --key, or say --insecure$/,
      { listen: '0.0.0.0:0' },
    ],
    [
      'a certificate for a socket',
      /^--cert and --key are for a TCP port: --listen unix:\S+ needs none/,
      { listen: 'unix:/nowhere/bus', more: ['--cert', cli, '--key', 'token'] },
    ],
    ['a socket in an open folder', /^--listen: .*0700: \/$/, { listen: 'unix:/bus' }],
  ])('%s: exit code 2, and the flag is named', async (_, said, { token: text, mode, data, listen, more = [] }) => {
    using at = place()
    if (text !== undefined) writeFileSync(at.tokenFile, text)
    if (mode !== undefined) chmodSync(at.tokenFile, mode)
    const words = more.map((word) => (word === 'token' ? at.tokenFile : word))
    const program = broker({ ...at, data: data ?? at.data }, '--listen', listen ?? '127.0.0.1:0', ...words)
    const { code, line } = await failure(program)
    expect(line.replace(/^greenroom: /, '')).toMatch(said)
    expect(line).not.toMatch(/options|insecure: true|\bdir\b/)
    expect(code).toBe(2)
  })

  test.each([
    ['a file in place of the data folder', 'data', /^--data: .*EEXIST/],
    ['a file in place of the socket folder', 'listen', /^--listen: .*EEXIST/],
  ] as const)('%s: exit code 1, and the flag is named', async (_, which, said) => {
    using at = place()
    const program =
      which === 'data'
        ? broker({ ...at, data: at.tokenFile }, '--listen', '127.0.0.1:0')
        : broker(at, '--listen', `unix:${at.tokenFile}/bus`)
    const { code, line } = await failure(program)
    expect(line.replace(/^greenroom: /, '')).toMatch(said)
    expect(code).toBe(1)
  })

  test.runIf(process.platform === 'linux').each([
    ['data', /^--data: .*\/proc\/none/],
    ['socket', /^--listen: .*\/proc\/none/],
  ] as const)('a %s folder that cannot be made: exit code 1 at once', async (which, said) => {
    using at = place()
    const program =
      which === 'data'
        ? broker({ ...at, data: '/proc/none/data' }, '--listen', '127.0.0.1:0')
        : broker(at, '--listen', 'unix:/proc/none/bus')
    const { code, line } = await failure(program)
    expect(line.replace(/^greenroom: /, '')).toMatch(said)
    expect(code).toBe(1)
  })

  test.each([[[]], [['nonsense']], [['--nonsense']], [['broker']], [['broker', '--data']]])(
    'arguments %j: exit code 2',
    async (args) => {
      expect((await failure(start(cli, args))).code).toBe(2)
    },
  )
})

test('--version and --help answer on standard output', async () => {
  await using version = start(cli, ['--version'])
  expect(await version.ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), stderr: '' })
  await using help = start(cli, ['broker', '--help'])
  expect(await help.ended).toMatchObject({ code: 0, stdout: expect.stringContaining('--token-file'), stderr: '' })
})
