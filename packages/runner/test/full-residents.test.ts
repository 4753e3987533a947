/** How long is waited where each slot is taken, by a clock that is set forward by hand. */
import { createManualClock } from '@greenroom/bus/testing'
import { createMemoryBus } from '@greenroom/bus'
import { codeOf, GreenroomError, type Peer, type Presence } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { Residents, type Full, type Outlook, type ResidentLease, type ResidentNeed } from '../src/placement/index.ts'
import { until } from './fixtures/setup.ts'

const signal = new AbortController().signal

const presenceOf = (slots: number, { load = 0, labels = {} }: Partial<Presence> = {}): Presence => ({
  role: 'pool.crew',
  slots,
  load,
  serves: [{ name: 'who', version: '1' }],
  labels,
})

/** Members of a role, and who looks for them. */
class Scene implements AsyncDisposable {
  readonly clock = createManualClock()
  readonly #bus = createMemoryBus()
  #residents: Residents | undefined

  async look(): Promise<Residents> {
    const peer = await this.#bus.attach({ address: 'runner.x', incarnation: 'r', lifetime: 'incarnation' })
    const lacking = (lack: string): GreenroomError =>
      new GreenroomError(lack === 'full' ? 'POOL_FULL' : 'POOL_EMPTY', lack)
    const random = { id: () => 'id', fraction: () => 0 }
    this.#residents = new Residents({
      peer,
      role: 'pool.crew',
      kind: 'pool',
      host: 'crew',
      lacking,
      clock: this.clock,
      random,
    })
    return this.#residents
  }

  member(name: string, slots: number, more: Partial<Presence> = {}): Promise<Peer> {
    const presence = presenceOf(slots, more)
    return this.#bus.attach({ address: `worker.${name}`, incarnation: name, lifetime: 'incarnation', presence })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#residents?.close()
    await this.#bus[Symbol.asyncDispose]()
  }
}

const need = (more: Partial<ResidentNeed> = {}): ResidentNeed => ({
  executor: 'who',
  labels: {},
  maxWaitMs: 0,
  excluded: new Set(),
  ...more,
})

/** What it ends with, and after how long. */
async function waited(scene: Scene, residents: Residents, outlook: Outlook, more: Partial<ResidentNeed> = {}) {
  let code: string | undefined
  const since = scene.clock.monotonic()
  residents.acquire(need(more), signal, () => outlook).catch((error: unknown) => (code = codeOf(error)))
  for (let ms = 0; ms <= 700_000 && code === undefined; ms += 500) {
    await scene.clock.settle()
    if (code === undefined) await scene.clock.advance(500)
  }
  return [code, scene.clock.monotonic() - since]
}

test('who finds no slot knows how many there are, and which are held by runs of its own runner', async () => {
  await using scene = new Scene()
  const gpu = { labels: { gpu: 'big' } }
  await scene.member('a', 2, gpu)
  // One of its two is somebody else's.
  const shared = await scene.member('b', 1, { load: 0.5 })
  const residents = await scene.look()
  const leases = await Promise.all([1, 2, 3].map(() => residents.acquire(need(), signal)))
  const seen: Full[] = []
  const full = async (more: Partial<ResidentNeed>): Promise<string | undefined> => {
    await expect(residents.acquire(need(more), signal, (one) => (seen.push(one), 'later'))).rejects.toThrow('full')
    return seen.at(-1) && `${leases.filter(({ worker }) => seen.at(-1)?.has(worker)).length} of ${seen.at(-1)?.slots}`
  }
  expect(await full({})).toBe('3 of 4')
  expect(await full(gpu)).toBe('2 of 2')
  // Of one that never showed a free slot nobody knows how many it has.
  await scene.member('c', 0, { load: 1, labels: { gpu: 'small' } })
  await until(async () => (await full({})) === '3 of Infinity')
  await shared.drain()
  await until(async () => (await full(gpu)) === '2 of 2')
})

test('each has its turn while all are equally busy', async () => {
  await using scene = new Scene()
  for (const name of ['a', 'b', 'c']) await scene.member(name, 1)
  const residents = await scene.look()
  const chosen: string[] = []
  for (let n = 0; n < 6; n += 1) {
    const lease = await residents.acquire(need(), signal)
    chosen.push(lease.worker.address)
    lease.accepted()
    lease.release(false)
  }
  expect(chosen).toEqual(['a', 'b', 'c', 'a', 'b', 'c'].map((name) => `worker.${name}`))
})

test('what was sent to one and is not accepted yet makes that one busier', async () => {
  await using scene = new Scene()
  await scene.member('a', 10)
  await scene.member('b', 2)
  const residents = await scene.look()
  const chosen: string[] = []
  for (let n = 0; n < 4; n += 1) chosen.push((await residents.acquire(need(), signal)).worker.address)
  expect(chosen).toEqual(['a', 'b', 'a', 'a'].map((name) => `worker.${name}`))
})

test('of two with as many slots it is the one that shows less load', async () => {
  await using scene = new Scene()
  await scene.member('a', 2, { load: 0.5 })
  await scene.member('b', 3, { load: 0.25 })
  const residents = await scene.look()
  const chosen: string[] = []
  for (let n = 0; n < 2; n += 1) chosen.push((await residents.acquire(need(), signal)).worker.address)
  expect(chosen).toEqual(['worker.b', 'worker.a'])
})

test('one that refused is asked again after a moment, whether it shows something new or not', async () => {
  await using scene = new Scene()
  const member = await scene.member('a', 1)
  const residents = await scene.look()
  const found: ResidentLease[] = []
  const find = () => residents.acquire(need({ maxWaitMs: 5_000 }), signal).then((lease) => void found.push(lease))
  await find()
  found.pop()?.release(true)
  void find()
  await scene.clock.advance(99)
  expect(found).toHaveLength(0)
  await scene.clock.advance(1)
  expect(found).toHaveLength(1)
  // What it shows anew it has shown after it refused: nothing is left to be waited for.
  found.pop()?.release(true)
  void find()
  await scene.clock.settle()
  expect(found).toHaveLength(0)
  member.announce(presenceOf(1))
  await until(() => found.length === 1)
})

test('it waits as long as it may, a while for whom room is made, longer who comes back', async () => {
  await using scene = new Scene()
  await scene.member('a', 1)
  const residents = await scene.look()
  await residents.acquire(need(), signal)
  const { clock } = scene
  await clock.advance(2_000)
  expect(await waited(scene, residents, 'later')).toEqual(['POOL_FULL', 0])
  expect(await waited(scene, residents, 'later', { maxWaitMs: 5_000 })).toEqual(['POOL_FULL', 5_000])
  expect(await waited(scene, residents, 'held')).toEqual(['POOL_FULL', 0])
  expect(await waited(scene, residents, 'own')).toEqual(['POOL_HELD_BY_ANCESTOR', 0])
  // Somebody else may join.
  expect(await waited(scene, residents, 'own', { maxWaitMs: 5_000 })).toEqual(['POOL_HELD_BY_ANCESTOR', 5_000])
  expect(await waited(scene, residents, 'soon')).toEqual(['POOL_FULL', 10_000])
  expect(await waited(scene, residents, 'later', { returns: true })).toEqual(['POOL_FULL', 600_000])
  expect(await waited(scene, residents, 'own', { returns: true })).toEqual(['POOL_HELD_BY_ANCESTOR', 0])
})

test('who comes back to nobody does not wait', async () => {
  await using scene = new Scene()
  const residents = await scene.look()
  await scene.clock.advance(2_000)
  expect(await waited(scene, residents, 'later', { returns: true })).toEqual(['POOL_EMPTY', 0])
})
