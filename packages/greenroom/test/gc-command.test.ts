/** `greenroom gc`: the real command on a runner's real data folder. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brokerSchema, createBroker } from '@greenroom/broker'
import { inspectStore } from '@greenroom/store'
import { expect, test } from 'vitest'
import { createRunner, type AnyRunner } from '../src/index.ts'
import { start, temporaryFolder, type Ended } from './program.ts'

const cli = fileURLToPath(new URL('../src/cli.ts', import.meta.url))

async function gc(...args: readonly string[]): Promise<Ended> {
  await using program = start(cli, ['gc', ...args])
  return await program.ended
}

function open(dataDir: string): Promise<AnyRunner> {
  // Its runs end before any worker is asked: what the journal keeps of them is the same.
  return createRunner({ worker: { command: ['false'] }, roles: { never: { executor: 'never' } }, dataDir, quiet: true })
}

test(
  'forgets what ended long ago, says how much, and refuses what is no age or no folder',
  { timeout: 60_000 },
  async () => {
    using folder = temporaryFolder()
    const data = join(folder.path, 'data')
    {
      await using runner = await open(data)
      await runner.run({ role: 'never', task: 'x' }).outcome
      expect(await gc('--data', data, '--older-than', '0s')).toMatchObject({
        code: 1,
        stdout: '',
        stderr: expect.stringMatching(
          /^greenroom: --data: .* belongs to process \d+ .*Stop it, or let it forget them itself: createRunner\({ retentionMs }\)\n$/,
        ),
      })
    }
    expect(await gc('--data', data, '--older-than', '1h')).toMatchObject({ code: 0, stdout: '0 runs forgotten\n' })
    expect(await gc('--data', data, '--older-than', '0s', '--json')).toMatchObject({ code: 0, stdout: '{"runs":1}\n' })
    for (const age of ['soon', '-1d', '1w', '1e9d'])
      expect(await gc('--data', data, '--older-than', age)).toMatchObject({ code: 2, stdout: '' })
    const nowhere = join(folder.path, 'nowhere')
    expect(await gc('--data', nowhere, '--older-than', '1h')).toMatchObject({ code: 2 })
    expect(existsSync(nowhere)).toBe(false)
  },
)

test('refuses the folder of a broker, and adds nothing to it', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder()
  const broker = await createBroker({ dir: folder.path })
  const live = await gc('--data', folder.path, '--older-than', '1h')
  await broker.close()
  const stopped = await gc('--data', folder.path, '--older-than', '1h')
  const refused = { code: 2, stdout: '', stderr: expect.stringMatching(/^greenroom: --data: .* has no journal/) }
  expect([live, stopped]).toMatchObject([refused, refused])
  using inspection = inspectStore(folder.path, brokerSchema)
  expect(inspection.collections).toEqual(brokerSchema.collections.toSorted())
})
