/** A runner that is killed while a resident has its run, and what its next life makes of that: all of them real programs. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createRunner, type AnyRunner } from '../src/index.ts'
import type { RoleOptions } from '@greenroom/runner'
import { expect, test } from 'vitest'
import { start } from './program.ts'
import type { HostOrder } from './resident/host.ts'
import { file, ready, ResidentStage, token } from './resident/stage.ts'

const host = fileURLToPath(new URL('resident/host.ts', import.meta.url))

/** A resident's place, and the bus on which it is a pool's. */
interface Where {
  readonly bus?: NonNullable<HostOrder['bus']>
  readonly placement: NonNullable<RoleOptions['placement']>
}

/** A place with a resident in it, and how a runner gets there. */
const places = {
  async pool(stage: ResidentStage): Promise<Where> {
    const url = await stage.broker()
    await ready(stage.member())
    return { bus: { url, token }, placement: { pool: 'crew', maxWaitMs: 30_000 } }
  },
  async remote(stage: ResidentStage): Promise<Where> {
    const program = stage.command('worker', file, '--listen', '127.0.0.1:0', '--token-file', stage.tokenFile)
    const [, remote = ''] = await program.line(/ready at (\S+) in resident/)
    return { placement: { remote, token } }
  },
}

/** Has a runner begin a run and killed when its executor works; resolves with the next life. */
async function secondLife(
  stage: ResidentStage,
  place: keyof typeof places,
  task: string,
  { awayMs = 0, again = {} }: { readonly awayMs?: number; readonly again?: Partial<RoleOptions> } = {},
): Promise<AnyRunner> {
  const { placement, ...bus } = await places[place](stage)
  const order = { ...bus, dataDir: join(stage.path, 'runner'), role: { executor: 'work', placement, ...again }, task }
  await using first = start(host, [JSON.stringify(order)])
  await first.line(/working as/)
  first.process.kill('SIGKILL')
  await first.ended
  await sleep(awayMs)
  return await createRunner({ ...bus, dataDir: order.dataDir, roles: { job: order.role }, quiet: true })
}

test.each(['pool', 'remote'] as const)(
  'in a %s: what still ran is stopped, and its runner knows that it did not go on',
  { timeout: 90_000 },
  async (place) => {
    await using stage = new ResidentStage()
    await using runner = await secondLife(stage, place, '60000')
    const [run] = await runner.resume()
    expect(await run?.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: false })
    expect(run?.status().attempts).toBe(1)
    expect(await runner.run({ role: 'job', task: '1' }).outcome).toMatchObject({ status: 'completed' })
  },
)

test.each(['pool', 'remote'] as const)(
  'in a %s: what has ended meanwhile is the outcome',
  { timeout: 90_000 },
  async (place) => {
    await using stage = new ResidentStage()
    await using runner = await secondLife(stage, place, '1000', { awayMs: 4_000 })
    const [run] = await runner.resume()
    expect(await run?.outcome).toMatchObject({ status: 'completed', output: expect.any(Number) })
    expect(run?.status().attempts).toBe(1)
  },
)

test.each(['pool', 'remote'] as const)(
  'in a %s: what may have its effects twice is done again once it is stopped',
  { timeout: 120_000 },
  async (place) => {
    await using stage = new ResidentStage()
    const retry = { attempts: 2, backoffMs: 1 }
    await using runner = await secondLife(stage, place, '15000', { again: { idempotent: true, retry } })
    const [run] = await runner.resume()
    expect(await run?.outcome).toMatchObject({ status: 'completed', output: expect.any(Number) })
    expect(run?.status().attempts).toBe(2)
  },
)
