/** What commands say of a broker that they cannot use: its certificate, its url, its silence. */
import { once } from 'node:events'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeCertificate } from './certificate.ts'
import type { Program } from './program.ts'
import { file, ResidentStage } from './resident/stage.ts'

const timeout = 90_000

/** A port of this machine where somebody listens, and says nothing. */
async function silence(): Promise<Disposable & { readonly url: string }> {
  const server = createServer((socket) => socket.on('error', () => undefined))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const at = server.address()
  const port = typeof at === 'object' && at !== null ? at.port : 0
  return { url: `ws://127.0.0.1:${port}`, [Symbol.dispose]: () => void server.close() }
}

/** Both of a client's commands, as they are started for a broker. */
const clients = [
  [
    'an operator',
    (stage: ResidentStage, url: string, ...more: string[]): Program =>
      stage.command('mailboxes', '--url', url, '--token-file', stage.tokenFile, ...more),
  ],
  [
    'a worker',
    (stage: ResidentStage, url: string, ...more: string[]): Program =>
      stage.command('worker', file, '--bus', url, '--role', 'crew', '--token-file', stage.tokenFile, ...more),
  ],
] as const

describe.each(clients)('%s', { timeout }, (_, client) => {
  test('is told which certificate is refused, and what helps', async () => {
    await using stage = new ResidentStage()
    const own = makeCertificate(stage.path, 'own')
    const url = await stage.broker('127.0.0.1:0', '--cert', own.cert, '--key', own.key)
    const without = await client(stage, url).ended
    expect(without).toMatchObject({ code: 1, stdout: '' })
    expect(without.stderr).toContain(`the certificate of ${url}: `)
    expect(without.stderr).toMatch(/: give the certificate of its authority as --ca\n$/)
    const other = makeCertificate(stage.path, 'other')
    const strange = await client(stage, url, '--ca', other.cert).ended
    expect(strange.stderr).toMatch(/the certificate of wss:.* as --ca\n$/)
  })

  test('is told that a certificate is for another host', async () => {
    await using stage = new ResidentStage()
    const away = makeCertificate(stage.path, 'away', { names: 'DNS:elsewhere.example' })
    const listening = await stage.broker('127.0.0.1:0', '--cert', away.cert, '--key', away.key)
    const url = listening.replace('127.0.0.1', 'localhost')
    const { code, stderr } = await client(stage, url, '--ca', away.cert).ended
    expect(code).toBe(1)
    expect(stderr).toContain(`the certificate of ${url}: `)
    expect(stderr).toMatch(/elsewhere\.example: use a name that it is for\n$/)
  })

  test('is told that a certificate has expired, which its broker has warned of', async () => {
    await using stage = new ResidentStage()
    const old = makeCertificate(stage.path, 'old', { year: 2020 })
    const tls = ['--listen', '127.0.0.1:0', '--cert', old.cert, '--key', old.key]
    const broker = stage.command('broker', '--data', join(stage.path, 'd'), '--token-file', stage.tokenFile, ...tls)
    const [, url = ''] = await broker.line(/ready at (\S+)\n/)
    await broker.error(/warn certificate refused by clients .*old\.pem.*"it has expired at 2020-12-31T00:00:00/)
    const { code, stderr } = await client(stage, url, '--ca', old.cert).ended
    expect(code).toBe(1)
    expect(stderr).toContain(`the certificate of ${url}: `)
    expect(stderr).toMatch(/expired: whoever runs it has to renew that\n$/)
  })

  test('is pointed to wss:// and the flag when it would show its token to a network', async () => {
    await using stage = new ResidentStage()
    const { code, stderr } = await client(stage, 'ws://192.0.2.1:7440').ended
    expect(code).toBe(1)
    expect(stderr).toMatch(/ws:\/\/192\.0\.2\.1:7440 .*: use wss:\/\/, or give --insecure\n$/)
  })

  test('says for whom it waits when nobody answers', async () => {
    await using stage = new ResidentStage()
    using nobody = await silence()
    const program = client(stage, nobody.url)
    await program.error(new RegExp(`^greenroom: waiting for an answer of ${nobody.url}$`, 'm'))
  })
})

test('a certificate of an endpoint that clients will refuse is warned of', { timeout }, async () => {
  await using stage = new ResidentStage()
  const old = makeCertificate(stage.path, 'old', { year: 2020 })
  const tls = ['--tls-cert', old.cert, '--tls-key', old.key]
  const worker = stage.command('worker', file, '--listen', '127.0.0.1:0', '--token-file', stage.tokenFile, ...tls)
  await worker.error(/warn certificate refused by clients .*old\.pem/)
})

test(
  'what a worker that was killed leaves among the temporary files goes with the next start',
  { timeout },
  async () => {
    await using stage = new ResidentStage()
    const own = makeCertificate(stage.path, 'own')
    const tls = ['--tls-cert', own.cert, '--tls-key', own.key]
    const start = async (): Promise<{ readonly program: Program; readonly folder: string }> => {
      const program = stage.command('worker', file, '--listen', '127.0.0.1:0', '--token-file', stage.tokenFile, ...tls)
      await program.line(/ready at /)
      const folder = readFileSync(join(stage.path, '.greenroom-worker', 'door-folder'), 'utf8')
      expect(statSync(join(folder, 'door')).isSocket()).toBe(true)
      return { program, folder }
    }
    const killed = await start()
    killed.program.process.kill('SIGKILL')
    await killed.program.ended
    expect(existsSync(killed.folder)).toBe(true)
    const next = await start()
    expect(existsSync(killed.folder)).toBe(false)
    next.program.process.kill('SIGTERM')
    expect(await next.program.ended).toMatchObject({ code: 0 })
    expect(existsSync(next.folder)).toBe(false)
  },
)
