/** A runner's program is killed while a run of it, at a member of a pool, waits for one approval and has got another. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { RoleOptions } from '../src/index.ts'
import { start } from './program.ts'
import { askingRunner } from './resident/asking.ts'
import { ready, ResidentStage, token } from './resident/stage.ts'

const program = fileURLToPath(new URL('resident/asking-runner.ts', import.meta.url))
const timeout = 120_000

/** The next life of a runner that was killed so, and its run. */
async function nextLife(role: Partial<RoleOptions> = {}) {
  const stack = new AsyncDisposableStack()
  const stage = stack.use(new ResidentStage())
  const url = await stage.broker()
  await ready(stage.member())
  const dataDir = join(stage.path, 'runner')
  const first = stack.use(start(program, [dataDir, url, token]))
  const [, id = ''] = await first.line(/(\S+) waits/)
  first.process.kill('SIGKILL')
  await first.ended
  const runner = stack.use(await askingRunner(dataDir, { url, token }, role))
  const [run] = await runner.resume()
  if (run?.id !== id) throw new Error(`${id} is not resumed`)
  const approvals = () =>
    runner.approvals.list({ runId: id }).map(({ resource, epoch, decision }) => [epoch, resource, decision?.reason])
  return { runner, run, approvals, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

test('its member stopped it, what waited is denied as it is, and what was decided stays', { timeout }, async () => {
  await using it = await nextLife()
  expect(await it.run.outcome).toMatchObject({
    status: 'failed',
    code: 'WORKER_LOST',
    message: 'its worker stopped it when its runner had ended',
    mayStillRun: false,
  })
  expect(it.runner.approvals.list()).toMatchObject([
    { resource: 'one', decision: { allowed: true, decider: 'policy', reason: 'by rule' } },
    { resource: 'two', decision: { allowed: false, decider: 'system', reason: 'its runner ended' } },
  ])
})

test('what may be done again asks anew, and is answered in the next life', { timeout }, async () => {
  await using it = await nextLife({ idempotent: true, retry: { attempts: 2, backoffMs: 10 } })
  for await (const { id, resource, epoch, decision } of it.runner.approvals.watch())
    if (resource === 'two' && decision === undefined) {
      expect(epoch).toBe(2)
      await it.runner.approvals.answer(id, { allow: true, reason: 'go on' })
      break
    }
  expect(await it.run.outcome).toMatchObject({ status: 'completed', output: ['by rule', 'go on'] })
  expect(it.approvals()).toEqual([
    [1, 'one', 'by rule'],
    [1, 'two', 'its runner ended'],
    [2, 'one', 'by rule'],
    [2, 'two', 'go on'],
  ])
})
