/** A real disk that is full: sends are refused by name, acks drain it, and then there is room again. */
import { codeOf, type Delivery } from '@greenroom/proto'
import { statfsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createBroker, examineData } from '../src/index.ts'
import { smallDisk } from './small-disk.ts'

const mib = 1024 * 1024
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const sender = { address: 'sender', incarnation: 's1', lifetime: 'named' } as const

test('a full disk refuses sends as STORAGE_FULL, keeps what was receipted, and drains by acks', async (context) => {
  using disk = smallDisk(context, 120)
  const dir = join(disk.path, 'data')
  const receipted: string[] = []
  const body = new Uint8Array(mib / 2)
  const free = (): number => statfsSync(disk.path).bavail * statfsSync(disk.path).bsize
  const leave = (left: number): void =>
    writeFileSync(join(disk.path, 'ballast'), new Uint8Array(Math.floor(free() / mib - left) * mib))
  {
    await using broker = await createBroker({ dir, limits: { cacheBytes: mib } })
    const peer = await broker.bus.attach(sender)
    const fill = async (): Promise<unknown> => {
      for (let n = 0; n < 400; n += 1) {
        const id = `m${receipted.length}`
        const end = await peer.send({ to: 'inbox', id, kind: 'note', payload: body }).catch(codeOf)
        if (typeof end === 'string') return end
        receipted.push(id)
      }
      return 'there is no end'
    }
    expect(await fill()).toBe('STORAGE_FULL')
    expect(receipted.length).toBeGreaterThan(20)
    expect(free()).toBeGreaterThan(16 * mib)
    // Others take what is left: nothing is promised any more, nothing that was is lost.
    leave(12)
    expect(await peer.send({ to: 'inbox', id: 'more', kind: 'note', payload: body }).catch(codeOf)).toBe('STORAGE_FULL')
    expect(examineData(dir)).toContainEqual(expect.objectContaining({ check: 'disk', level: 'fail' }))
  }
  await using broker = await createBroker({ dir })
  const came: string[] = []
  const acked: Promise<void>[] = []
  const onMessage = (message: Delivery): void => {
    came.push(message.id)
    acked.push(message.ack())
  }
  await broker.bus.attach({ address: 'inbox', incarnation: 'i1', lifetime: 'named', onMessage })
  while (came.length < receipted.length) await turn()
  await Promise.all(acked)
  expect(came).toEqual(receipted)
  expect(broker.stats()).toMatchObject({ messages: 0, failedCommits: 0 })
  // The file does not shrink, but what was acked made room in it: also below the reserve there is room again.
  rmSync(join(disk.path, 'ballast'))
  leave(40)
  const peer = await broker.bus.attach({ ...sender, incarnation: 's2' })
  const after = { to: 'inbox', id: 'after', kind: 'note', payload: body }
  // The file system is asked once a second.
  let end: unknown = 'STORAGE_FULL'
  while (end === 'STORAGE_FULL') {
    await turn()
    end = await peer.send(after).catch(codeOf)
  }
  expect(end).toMatchObject({ duplicate: false })
}, 30_000)
