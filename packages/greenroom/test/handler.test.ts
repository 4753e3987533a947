/** The handler behind a real HTTP server, with a runner in the process. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { signToken } from '@greenroom/broker'
import { createManualClock } from '@greenroom/bus/testing'
import type { Clock, Grants } from '@greenroom/proto'
import { bySignedToken, createHandler, type ApprovalRecord, type HandlerOptions } from 'greenroom'
import { createTestRunner } from 'greenroom/testing'
import { defineExecutor } from 'greenroom/worker'
import { expect, test } from 'vitest'

const release = defineExecutor({
  version: '1',
  async run(_request, ctx) {
    const call = { tool: 'git', permission: 'execute', resource: '/repo', input: ['tag', 'v1'] }
    return { output: { ...(await ctx.approve(call)) } }
  },
})

async function served(options: HandlerOptions = {}) {
  const stack = new AsyncDisposableStack()
  const runner = stack.use(
    await createTestRunner({ executors: { release, deploy: release }, approvals: { person: 'elsewhere' } }),
  )
  const handle = createHandler(runner, { basePath: '/greenroom', ...options })
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const over = new AbortController()
    outgoing.on('close', () => over.abort())
    const { method = 'GET', headers: given } = incoming
    const headers = given.authorization === undefined ? {} : { authorization: given.authorization }
    const body = method === 'POST' ? { body: Readable.toWeb(incoming), duplex: 'half' as const } : {}
    const url = `http://localhost${incoming.url}`
    const response = await handle(new Request(url, { method, headers, signal: over.signal, ...body } as RequestInit))
    outgoing.writeHead(response.status, Object.fromEntries(response.headers))
    if (response.body !== null) for await (const chunk of response.body) outgoing.write(chunk)
    outgoing.end()
  }
  const server = createServer((incoming, outgoing) => {
    // A stream may end in the middle.
    serve(incoming, outgoing).catch(() => outgoing.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${port}/greenroom${path}`, init)
    return { status: response.status, body: (await response.json()) as { grants?: { id: string }[] } }
  }
  return { runner, port, ask, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

test('a control room sees what is asked as it is asked, answers, and takes grants back', async () => {
  await using it = await served()
  const stream = await fetch(`http://127.0.0.1:${it.port}/greenroom/approvals/events`)
  expect(stream.headers.get('content-type')).toBe('text/event-stream')
  const seen = events(stream)
  const run = it.runner.run({ role: 'release', task: '' })
  const { value: pending } = await seen.next()
  expect(pending).toMatchObject({ runId: run.id, tool: 'git', input: ['tag', 'v1'] })
  expect(pending).not.toHaveProperty('decision')
  const { id } = pending as ApprovalRecord
  expect(await it.ask('/approvals?state=pending')).toMatchObject({ status: 200, body: { approvals: [{ id }] } })
  expect(await it.ask(`/approvals?runId=other`)).toMatchObject({ body: { approvals: [] } })
  expect(await it.ask(`/approvals/${id}`)).toMatchObject({ status: 200, body: { approval: { id } } })
  const verdict = JSON.stringify({ allow: true, scope: 'session', reason: 'fine' })
  expect(await it.ask(`/approvals/${id}`, { method: 'POST', body: verdict })).toMatchObject({
    status: 200,
    body: { approval: { id, decision: { allowed: true, decider: 'person', reason: 'fine' } } },
  })
  expect((await seen.next()).value).toMatchObject({ id, decision: { allowed: true } })
  expect(await run.outcome).toMatchObject({ output: { allowed: true, reason: 'fine' } })
  const { body } = await it.ask('/grants')
  expect(body).toMatchObject({ grants: [{ tool: 'git', resource: '/repo', scope: 'session', approval: id }] })
  const grant = body.grants?.[0]?.id
  expect(await it.ask(`/grants/${grant}`, { method: 'DELETE' })).toMatchObject({ body: { revoked: true } })
  expect(await it.ask('/grants')).toMatchObject({ body: { grants: [] } })
})

test.each<[string, RequestInit, number, string]>([
  ['/approvals/nothing', {}, 404, 'UNKNOWN_APPROVAL'],
  // Ids may begin so.
  ['/approvals/-nothing', {}, 404, 'UNKNOWN_APPROVAL'],
  ['/approvals/_nothing', { method: 'POST', body: '{"allow":true}' }, 404, 'UNKNOWN_APPROVAL'],
  ['/approvals/nothing', { method: 'POST', body: '{"allow":true}' }, 404, 'UNKNOWN_APPROVAL'],
  // Nothing is read of what is not there.
  ['/approvals/nothing', { method: 'POST', body: 'allow' }, 404, 'UNKNOWN_APPROVAL'],
  ['/approvals?state=odd', {}, 400, 'BAD_OPTIONS'],
  ['/approvals', { method: 'DELETE' }, 405, 'UNKNOWN_METHOD'],
  ['/elsewhere', {}, 404, 'UNKNOWN_PATH'],
  ['/approvals/a/b', {}, 404, 'UNKNOWN_PATH'],
  ['/approvals/', {}, 404, 'UNKNOWN_PATH'],
  ['/approvals/%zz', {}, 404, 'UNKNOWN_PATH'],
  ['er/approvals', {}, 404, 'UNKNOWN_PATH'],
  ['/approvals?stat=pending', {}, 400, 'BAD_OPTIONS'],
])('%s is refused by name', async (path, init, status, code) => {
  await using it = await served()
  expect(await it.ask(path, init)).toMatchObject({ status, body: { error: { code } } })
})

test('what is no verdict is refused, and of a body that is too large no more is read', async () => {
  await using it = await served()
  it.runner.run({ role: 'release', task: '' })
  const changes = it.runner.approvals.watch()[Symbol.asyncIterator]()
  const { value } = await changes.next()
  const id = String(value?.id)
  const refused = { status: 400, body: { error: { code: 'BAD_OPTIONS' } } }
  for (const body of ['allow', '{"allow":"yes"}', '{"allow":true,"inptu":{}}', ''])
    expect(await it.ask(`/approvals/${id}`, { method: 'POST', body })).toMatchObject(refused)
  let sent = 0
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent += 65_536
      controller.enqueue(new Uint8Array(65_536).fill(32))
    },
  })
  const init: RequestInit & { duplex: 'half' } = { method: 'POST', body: endless, duplex: 'half' }
  const request = new Request(`http://localhost/approvals/${id}`, init)
  expect((await createHandler(it.runner)(request)).status).toBe(400)
  expect(sent).toBeLessThan(2 * 1024 * 1024)
})

test.each(['greenroom', '/greenroom/', '/a?b'])('a base path of %j is refused', (basePath) => {
  const approvals = {} as never
  expect(() => createHandler({ approvals }, { basePath })).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS' }))
})

const key = 'a key of thirty-two bytes or more'

/** A server where signed tokens say who may answer, and one run of each role that waits for it. */
async function guarded(clock?: Clock) {
  const it = await served({ mayAnswer: bySignedToken(['another key of thirty-two bytes.', key], clock) })
  const runs = { release: it.runner.run({ role: 'release' }), deploy: it.runner.run({ role: 'deploy' }) }
  const ids: Record<string, string> = {}
  for await (const { id, role } of it.runner.approvals.watch()) {
    ids[role] = id
    if (Object.keys(ids).length === 2) break
  }
  const bearer = async (grants: Grants, expiresAt = (clock?.now() ?? Date.now()) + 60_000) => ({
    authorization: `Bearer ${await signToken(key, { subject: 'jo', grants, expiresAt }, clock)}`,
  })
  return Object.assign(it, { runs, bearer, ids: { release: ids['release'] ?? '', deploy: ids['deploy'] ?? '' } })
}

const allow = (headers: Record<string, string>, scope = 'once'): RequestInit => ({
  method: 'POST',
  body: JSON.stringify({ allow: true, scope }),
  headers,
})

test('a token’s bearer sees and answers what its grants allow, and of the rest learns nothing', async () => {
  await using it = await guarded()
  const { ids } = it
  const headers = await it.bearer({ approvals: ['rel*'] })
  expect(await it.ask('/approvals', { headers })).toMatchObject({
    status: 200,
    body: { approvals: [{ id: ids.release }] },
  })
  expect(await it.ask(`/approvals/${ids.release}`, { headers })).toMatchObject({ status: 200 })
  const [forbidden, nothing] = [ids.deploy, 'nothing']
  for (const ask of [
    (id: string) => it.ask(`/approvals/${id}`, { headers }),
    (id: string) => it.ask(`/approvals/${id}`, allow(headers)),
    (id: string) => it.ask(`/approvals/${id}`, { method: 'POST', body: '?', headers }),
    (id: string) => it.ask(`/grants/${id}`, { method: 'DELETE', headers }),
  ])
    expect(await ask(forbidden)).toEqual(await ask(nothing))
  expect(await it.ask(`/approvals/${forbidden}`, allow(headers))).toMatchObject({ status: 404 })
  expect(it.runner.approvals.get(ids.deploy)).not.toHaveProperty('decision')
  const claimed = { ...allow(headers), body: JSON.stringify({ allow: true, by: 'somebody else' }) }
  expect(await it.ask(`/approvals/${ids.release}`, claimed)).toMatchObject({ status: 400 })
  expect(await it.ask(`/approvals/${ids.release}`, allow(headers))).toMatchObject({
    status: 200,
    body: { approval: { decision: { decider: 'person', by: 'jo' } } },
  })
  expect(await it.runs.release.outcome).toMatchObject({ output: { allowed: true } })
})

test('grants are seen and taken back by whoever may answer for their role, and by nobody else', async () => {
  await using it = await guarded()
  const [one, other] = [await it.bearer({ approvals: ['release'] }), await it.bearer({ approvals: ['deploy'] })]
  await it.ask(`/approvals/${it.ids.release}`, allow(one, 'session'))
  await it.runs.release.outcome
  const [grant] = it.runner.approvals.grants()
  expect(grant).toMatchObject({ decider: 'person', by: 'jo' })
  expect(await it.ask('/grants', { headers: other })).toMatchObject({ body: { grants: [] } })
  const revoke = (headers: Record<string, string>) => it.ask(`/grants/${grant?.id}`, { method: 'DELETE', headers })
  expect(await revoke(other)).toMatchObject({ status: 200, body: { revoked: false } })
  expect(await it.ask('/grants', { headers: one })).toMatchObject({ body: { grants: [{ id: grant?.id }] } })
  expect(await revoke(one)).toMatchObject({ status: 200, body: { revoked: true } })
  expect(it.runner.approvals.grants()).toEqual([])
})

test('without a token that is worth something nothing is answered, whether it is there or not', async () => {
  await using it = await guarded()
  const forged = await signToken('a key that nobody else knows of at all', {
    subject: 'jo',
    grants: { approvals: ['*'] },
    expiresAt: Date.now() + 60_000,
  })
  const old = await it.bearer({ approvals: ['*'] }, Date.now() - 60_000)
  for (const path of [
    '/approvals',
    `/approvals/${it.ids.release}`,
    '/approvals/nothing',
    '/approvals/events',
    '/grants',
    '/odd',
  ]) {
    const missing = await it.ask(path)
    expect(missing).toMatchObject({ status: 401, body: { error: { code: 'UNAUTHORIZED' } } })
    expect(await it.ask(path, { headers: { authorization: `Bearer ${forged}` } })).toEqual(missing)
    expect(await it.ask(path, { headers: { authorization: `Basic ${forged}` } })).toEqual(missing)
    expect(await it.ask(path, { headers: old })).toMatchObject({
      status: 401,
      body: { error: { code: 'TOKEN_EXPIRED' } },
    })
  }
  const allowed = await it.ask(`/approvals/${it.ids.release}`, allow({ authorization: `Bearer ${forged}` }))
  expect(allowed).toMatchObject({ status: 401 })
  const none = await it.bearer({ consume: ['*'] })
  expect(await it.ask('/approvals', { headers: none })).toEqual({ status: 200, body: { approvals: [] } })
  expect(it.runner.approvals.list({ state: 'pending' })).toHaveLength(2)
})

test('a stream shows what its token’s bearer may answer, and ends with the token', async () => {
  const clock = createManualClock()
  await using it = await guarded(clock)
  const headers = await it.bearer({ approvals: ['deploy'] })
  const seen = events(await fetch(`http://127.0.0.1:${it.port}/greenroom/approvals/events`, { headers }))
  expect((await seen.next()).value).toMatchObject({ id: it.ids.deploy, role: 'deploy' })
  await it.runner.approvals.answer(it.ids.release, { allow: false })
  await it.runner.approvals.answer(it.ids.deploy, { allow: false })
  expect((await seen.next()).value).toMatchObject({ id: it.ids.deploy, decision: { allowed: false } })
  await clock.advance(120_000)
  const next = seen.next()
  it.runner.run({ role: 'deploy' })
  await expect(next).rejects.toThrow()
})

test('a key that anybody could guess is refused', () => {
  expect(() => bySignedToken([''])).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS' }))
})

/** The events of a stream. */
async function* events(response: Response): AsyncGenerator<unknown> {
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += new TextDecoder().decode(chunk)
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1]
      text = text.slice(end + 2)
      if (data !== undefined) yield JSON.parse(data)
    }
  }
}
