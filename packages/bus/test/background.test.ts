/** A connected bus and the life of the program that has it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { FakeBroker } from './fake-broker.ts'

const program = new URL('./background-program.ts', import.meta.url).pathname

function start(broker: FakeBroker, mode: string) {
  const args = ['--conditions=@greenroom/source', program, broker.url, mode]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  return { child, exited: once(child, 'exit') }
}

test('in the background, an attached bus lets the program end', async () => {
  await using broker = await FakeBroker.listen()
  const { exited } = start(broker, 'background')
  const client = await broker.client()
  await client.attach()
  expect(await exited).toEqual([0, null])
})

test('otherwise it keeps the program alive, over a lost connection too', async () => {
  await using broker = await FakeBroker.listen()
  const { child, exited } = start(broker, 'foreground')
  const client = await broker.client()
  await client.attach()
  client.cut()
  const again = await broker.client()
  expect(await again.attach()).toMatchObject({ again: true })
  child.kill()
  expect(await exited).toEqual([null, 'SIGTERM'])
})
