/** Resident worker processes of one slot, with parents whose children want the same slot. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { createRunner, type RoleOptions } from '../src/index.ts'
import { ResidentStage, token, unusable } from './resident/stage.ts'

const file = fileURLToPath(new URL('resident/parents.ts', import.meta.url))

type Placement = RoleOptions['placement']

/** Starts the worker; says where it is, and on which bus the runner is. */
const kinds: Readonly<Record<string, (stage: ResidentStage) => Promise<readonly [Placement, string?]>>> = {
  async pool(stage) {
    const url = await stage.broker()
    const words = ['--bus', url, '--role', 'crew', '--token-file', stage.tokenFile]
    await stage.command('worker', file, ...words).line(/ready at/)
    return [{ pool: 'crew' }, url]
  },
  async remote(stage) {
    const words = ['--listen', '127.0.0.1:0', '--token-file', stage.tokenFile]
    const [, remote = ''] = await stage.command('worker', file, ...words).line(/ready at (\S+) in resident/)
    return [{ remote, token }]
  },
  async fabric(stage) {
    const fabric = join(stage.path, 'fabric')
    await stage.command('worker', file, '--fabric', fabric, '--role', 'crew').line(/ready at/)
    return [{ pool: 'crew', fabric }]
  },
}

test.each(Object.keys(kinds))(
  'in a %s a parent that can be suspended completes, one that cannot learns why its child fails',
  { timeout: 120_000 },
  async (kind) => {
    await using stage = new ResidentStage()
    const [placement, url] = (await kinds[kind]?.(stage)) ?? []
    const role = (executor: string): RoleOptions => ({ executor, ...(placement && { placement }) })
    const roles = { pliant: role('pliant'), stiff: role('stiff'), who: role('who') }
    const bus = url === undefined ? {} : { bus: { url, token } }
    await using runner = await createRunner({ worker: unusable, roles, dataDir: null, quiet: true, ...bus })
    const run = runner.run({ role: 'pliant', task: 'pliant who' })
    const pid: unknown = expect.any(Number)
    expect(await run.outcome).toMatchObject({ output: [pid, true, [pid, true, pid]] })
    expect(run.status().attempts).toBe(2)
    expect(await runner.run({ role: 'stiff', task: 'who' }).outcome).toMatchObject({
      output: [pid, false, 'POOL_HELD_BY_ANCESTOR'],
    })
  },
)
