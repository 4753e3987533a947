/** `greenroom token`, and what of a running broker may change: the real command, real files, real sockets. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connectBus } from '@greenroom/bus'
import { codeOf } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { makeCertificate } from './certificate.ts'
import { start, temporaryFolder, type Ended } from './program.ts'

const cli = fileURLToPath(new URL('../src/cli.ts', import.meta.url))
const [oldKey, newKey] = ['the old key, of thirty-two bytes at least', 'the new key, of thirty-two bytes at least']

async function greenroom(...args: readonly string[]): Promise<Ended> {
  await using program = start(cli, args)
  return await program.ended
}

/** Replaces a file as whoever rotates does: all of it at once. */
function put(path: string, ...lines: readonly string[]): void {
  writeFileSync(`${path}.new`, `${lines.join('\n')}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

const inbox = { incarnation: 'i', lifetime: 'named' } as const

test('a token of a word lets in, is shown, and a key is exchanged without a restart', { timeout: 90_000 }, async () => {
  using folder = temporaryFolder()
  const [data, keys, held] = ['data', 'keys', 'held'].map((name) => join(folder.path, name))
  if (data === undefined || keys === undefined || held === undefined) throw new Error('three')
  put(keys, '# of 2026', oldKey)
  await using broker = start(cli, ['broker', '--data', data, '--listen', '127.0.0.1:0', '--token-key-file', keys])
  const [, url = ''] = await broker.line(/ready at (\S+)\n/)
  const made = await greenroom('token', '--key-file', keys, '--subject', 'w', '--role', 'worker', '--consume', 'inbox')
  expect(made).toMatchObject({ code: 0, stderr: '' })
  const token = made.stdout.trim()
  await using bus = connectBus({ url, token })
  await using peer = await bus.attach({ ...inbox, address: 'inbox' })
  await expect(bus.attach({ ...inbox, address: 'runner.r' })).rejects.toMatchObject({ code: 'FORBIDDEN' })

  put(held, token)
  const shown = await greenroom('token', 'inspect', '--token-file', held, '--key-file', keys, '--json')
  expect(JSON.parse(shown.stdout)).toMatchObject({
    sub: 'w',
    verified: true,
    grants: { consume: ['resident.w.*', 'supervisor.w.*', 'inbox'], present: ['pool.*'] },
  })
  const plain = await greenroom('token', 'inspect', '--token-file', held)
  expect(plain.stdout).toMatch(/subject: w\n[^]*not verified/)

  put(keys, newKey)
  expect((await peer.closed).code).toBe('UNAUTHORIZED')
  const refused = await greenroom('token', 'inspect', '--token-file', held, '--key-file', keys)
  expect(refused).toMatchObject({ code: 1, stdout: '' })
  const renewed = await greenroom(
    'token',
    '--key-file',
    keys,
    '--subject',
    'w',
    '--consume',
    'inbox',
    '--expires',
    '5m',
  )
  await using again = connectBus({ url, token: renewed.stdout.trim() })
  await using _peer = await again.attach({ ...inbox, address: 'inbox' })

  // What is no key changes nothing, and is not shown.
  put(keys, 'short')
  const late = await broker.error(/token keys not taken.*\n/)
  expect(late[0]).not.toContain('short')
  await using once = connectBus({ url, token: renewed.stdout.trim() })
  expect(await once.attach({ ...inbox, address: 'other' }).catch(codeOf)).toBe('FORBIDDEN')
})

test(
  'a certificate is exchanged without a restart: what stands stays, what comes sees it',
  { timeout: 60_000 },
  async () => {
    using folder = temporaryFolder()
    const [own, next] = [makeCertificate(folder.path, 'own'), makeCertificate(folder.path, 'next')]
    const [ca, newer] = [readFileSync(own.cert, 'utf8'), readFileSync(next.cert, 'utf8')]
    const held = join(folder.path, 'held')
    const token = 'a-token-of-enough-length'
    put(held, token)
    const at = ['--data', join(folder.path, 'data'), '--listen', '127.0.0.1:0', '--token-file', held]
    await using broker = start(cli, ['broker', ...at, '--cert', own.cert, '--key', own.key])
    const [, url = ''] = await broker.line(/ready at (\S+)\n/)
    await using bus = connectBus({ url, token, ca })
    const states: string[] = []
    await using peer = await bus.attach({ ...inbox, address: 'inbox', onState: (state) => void states.push(state) })
    renameSync(next.key, own.key)
    renameSync(next.cert, own.cert)
    await broker.error(/certificate read again/)
    await using late = connectBus({ url, token, ca: newer })
    await using _other = await late.attach({ ...inbox, address: 'other' })
    await using old = connectBus({ url, token, ca })
    await expect(old.attach({ ...inbox, address: 'third' })).rejects.toMatchObject({ code: 'CERTIFICATE_UNTRUSTED' })
    expect([peer.state, states]).toEqual(['attached', []])
  },
)

test.each([
  ['no key file', [], /^give --key-file and --subject/],
  ['a role that is none', ['--subject', 's', '--role', 'king'], /^--role king is none: worker, runner, operator/],
  ['nothing that it would allow', ['--subject', 's'], /^it would allow nothing/],
  ['a subject that is none', ['--subject', 'a b', '--consume', 'x'], /^--subject: .*sub/],
  ['a subject with parts', ['--subject', 'a.b', '--role', 'runner'], /^--subject: of a runner it is 1 to 64/],
  ['a pattern that is none', ['--subject', 's', '--consume', '*x'], /consume/],
  ['an age that is none', ['--subject', 's', '--role', 'worker', '--expires', 'soon'], /^--expires soon is no age/],
] as const)('%s: exit code 2, one line, and no key in it', async (what, args, said) => {
  using folder = temporaryFolder()
  const keys = join(folder.path, 'keys')
  put(keys, oldKey)
  const { code, stdout, stderr } = await greenroom(
    'token',
    ...(what === 'no key file' ? [] : ['--key-file', keys]),
    ...args,
  )
  expect(stdout).toBe('')
  expect(stderr.replace(/^greenroom: /, '')).toMatch(said)
  expect(stderr).not.toContain(oldKey)
  expect(code).toBe(2)
})
