import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createManualClock } from '@greenroom/bus/testing'
import { FabricFolder } from '@greenroom/runner/placement'
import { FabricLease } from '../src/fabric-lease.ts'
import { temporaryFolder } from './program.ts'

const second = 1_000

function stage(path: string) {
  const folder = new FabricFolder(path)
  const clock = createManualClock()
  const errors: unknown[] = []
  const lease = (id: string): FabricLease =>
    new FabricLease({
      folder,
      record: { id, role: 'crew', url: `ws+unix://${folder.socketOf(id)}`, token: 'a-token-of-enough-length' },
      clock,
      onError: (error) => errors.push(error),
    })
  const leftOf = (id: string): number | undefined => {
    const record = folder.read().records.find((one) => one.id === id)
    return record && record.expiresAt - clock.now()
  }
  return { folder, clock, errors, lease, leftOf }
}

test('a record is live from the moment that its worker is ready, is renewed each 20 s for 60, and is gone at its end', async () => {
  using at = temporaryFolder()
  const { clock, lease, leftOf, errors, folder } = stage(at.path)
  const own = lease('a')
  expect(leftOf('a')).toBe(0)
  own.begin()
  own.begin()
  expect(leftOf('a')).toBe(60 * second)
  for (let round = 0; round < 10; round += 1) {
    await clock.advance(19 * second)
    expect(leftOf('a')).toBe(41 * second)
    await clock.advance(second)
    expect(leftOf('a')).toBe(60 * second)
  }
  own.end()
  own.begin()
  own[Symbol.dispose]()
  expect(readdirSync(folder.path)).toEqual([])
  await clock.advance(60 * second)
  expect(readdirSync(folder.path)).toEqual([])
  expect(errors).toEqual([])
})

test('one whose worker was killed goes stale by itself, and another worker removes it when a lease more has passed', async () => {
  using at = temporaryFolder()
  const { clock, lease, leftOf, folder } = stage(at.path)
  lease('alive').begin()
  const dead = { id: 'dead', role: 'crew', url: 'ws+unix:///nowhere', token: 'a-token-of-enough-length' }
  folder.publish({ fabric: 1, ...dead, expiresAt: clock.now() + 60 * second })
  await clock.advance(59 * second)
  expect(leftOf('dead')).toBe(second)
  await clock.advance(21 * second)
  expect(leftOf('dead')).toBe(-20 * second)
  await clock.advance(40 * second)
  await expect.poll(() => existsSync(join(at.path, 'dead.json'))).toBe(false)
  expect(leftOf('alive')).toBe(60 * second)
})

test('one that cannot be written is said, and written when that is possible again', async () => {
  using at = temporaryFolder()
  const { clock, lease, leftOf, errors, folder } = stage(join(at.path, 'fabric'))
  const own = lease('a')
  own.begin()
  // Also root cannot write where the name of the new record is a folder's.
  const inTheWay = `${folder.path}/a.json.new`
  mkdirSync(inTheWay)
  await clock.advance(20 * second)
  expect(errors).toEqual([expect.objectContaining({ code: 'EISDIR' })])
  expect(leftOf('a')).toBe(40 * second)
  rmdirSync(inTheWay)
  await clock.advance(20 * second)
  expect(leftOf('a')).toBe(60 * second)
  own.end()
})
