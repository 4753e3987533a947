/** The handler behind a real HTTP server, with a runner in the process. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { createHandler, type ApprovalRecord } from 'greenroom'
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

async function served() {
  const stack = new AsyncDisposableStack()
  const runner = stack.use(await createTestRunner({ executors: { release }, approvals: { person: 'elsewhere' } }))
  const handle = createHandler(runner, { basePath: '/greenroom' })
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const over = new AbortController()
    outgoing.on('close', () => over.abort())
    const { method = 'GET' } = incoming
    const body = method === 'POST' ? { body: Readable.toWeb(incoming), duplex: 'half' as const } : {}
    const url = `http://localhost${incoming.url}`
    const response = await handle(new Request(url, { method, signal: over.signal, ...body } as RequestInit))
    outgoing.writeHead(response.status, Object.fromEntries(response.headers))
    if (response.body !== null) for await (const chunk of response.body) outgoing.write(chunk)
    outgoing.end()
  }
  const server = createServer((incoming, outgoing) => void serve(incoming, outgoing)).listen(0, '127.0.0.1')
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
  ['/approvals/nothing', { method: 'POST', body: 'allow' }, 400, 'BAD_OPTIONS'],
  ['/approvals/nothing', { method: 'POST', body: '{"allow":"yes"}' }, 400, 'BAD_OPTIONS'],
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

test.each(['greenroom', '/greenroom/', '/a?b'])('a base path of %j is refused', (basePath) => {
  const approvals = {} as never
  expect(() => createHandler({ approvals }, { basePath })).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS' }))
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
