/** One endpoint that several roles name, each in its own way. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { createRunner } from '../src/index.ts'
import { ResidentStage, token, unusable } from './resident/stage.ts'

const file = fileURLToPath(new URL('resident/direct.ts', import.meta.url))

const respellings: [how: string, respelled: (url: string) => string][] = [
  ['a slash', (url) => `${url}/`],
  ['another name of the host', (url) => url.replace('127.0.0.1', 'localhost')],
]

/** Starts a worker with so many slots, and says where it listens. */
async function listening(stage: ResidentStage, slots: number): Promise<string> {
  const words = ['--listen', '127.0.0.1:0', '--token-file', stage.tokenFile, '--slots', `${slots}`]
  const [, remote = ''] = await stage.command('worker', file, ...words).line(/ready at (\S+) in resident/)
  return remote
}

test.each(respellings)(
  'a run goes on when another role names its endpoint by %s',
  { timeout: 60_000 },
  async (_how, respelled) => {
    await using stage = new ResidentStage()
    const remote = await listening(stage, 1)
    await using runner = await createRunner({
      worker: unusable,
      roles: {
        one: { executor: 'listens', placement: { remote, token } },
        two: { executor: 'repeats', placement: { remote: respelled(remote), token } },
      },
      dataDir: null,
      quiet: true,
      limits: { acceptWarmMs: 2_000 },
    })
    const first = runner.run({ role: 'one' })
    for await (const event of first) if (event.type === 'data') break
    // Its one slot is taken.
    expect(await runner.run({ role: 'two', task: 'x' }).outcome).toMatchObject({ code: 'BUSY' })
    expect(await first.send('to you')).toBe('delivered')
    expect(await first.outcome).toMatchObject({ status: 'completed', text: 'to you' })
  },
)

test.each(respellings)('what runs at it ask is answered when another role names it by %s', async (_how, respelled) => {
  await using stage = new ResidentStage()
  const remote = await listening(stage, 2)
  await using runner = await createRunner({
    worker: unusable,
    roles: {
      one: { executor: 'asks', placement: { remote, token } },
      two: { executor: 'asks', placement: { remote: respelled(remote), token } },
    },
    dataDir: null,
    quiet: true,
    approvals: { policy: () => ({ allow: true, reason: 'by rule' }) },
  })
  for (const role of ['one', 'two'] as const)
    expect(await runner.run({ role, task: role }).outcome).toMatchObject({
      output: [true, 'by rule', { args: [role] }],
    })
})
