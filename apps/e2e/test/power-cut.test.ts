/**
 * Power cuts under a broker: the file system that it writes to is shut down at random moments under load.
 *
 * `kill -9` never finds a missing flush, since what was written stays in the kernel; this does. That it can see a loss is
 * shown with a broker that does not flush.
 */
import { brokerSchema, createBroker } from '@greenroom/broker'
import { inspectStore } from '@greenroom/store'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, type TestContext } from 'vitest'
import { startBroker } from './power-cut/broker-process.ts'
import { inFlight, Load, type Findings } from './power-cut/load.ts'
import { LoopDisk } from './power-cut/loop-disk.ts'

const token = 'a-token-of-enough-length'
const cuts = 30

function diskFor(context: TestContext): LoopDisk {
  // Larger than the reserve that the store keeps free.
  const disk = LoopDisk.make(192 * 1024 * 1024)
  return disk ?? context.skip('this user may not mount a loop device, or mkfs.ext4 or python3 is missing')
}

/** Puts load on a broker, cuts its power after a random time, and compares what is left with what was promised. */
async function cutOnce(disk: LoopDisk, round: number, synchronous: 'full' | 'normal'): Promise<Findings> {
  const dir = join(disk.path, 'data')
  const socket = join(disk.elsewhere, 'broker.sock')
  await using broker = await startBroker(dir, socket, token, synchronous)
  const load = await Load.start(`inbox.${round}`, `ws+unix://${socket}`, token)
  await sleep(Math.random() * 250)
  const cutAt = await disk.cut()
  await broker.kill()
  await load.stop()
  disk.restore()
  const onDisk = messagesOnDisk(dir, load.mailbox)
  await using survivor = await createBroker({ dir })
  return await load.check(survivor.bus, cutAt, onDisk)
}

/** The ids of a mailbox, by what the cut left and no broker has looked at. */
function messagesOnDisk(dir: string, mailbox: string): Set<unknown> {
  using left = inspectStore(dir, brokerSchema)
  return new Set(left.scan('message', { prefix: `${mailbox}/`, bodies: false }).map(({ meta }) => meta['id']))
}

test(
  `${cuts} power cuts under load lose no receipted message and bring none back`,
  { timeout: 400_000 },
  async (context) => {
    using disk = diskFor(context)
    const totals = { receipted: 0, taken: 0, withdrawn: 0 }
    for (let round = 0; round < cuts; round += 1) {
      const { breaches, lostSince, ...counts } = await cutOnce(disk, round, 'full')
      expect(breaches, `of cut ${round}: ${JSON.stringify(breaches)}`).toEqual([])
      // Of the one group whose flush was under way.
      expect(lostSince).toBeLessThanOrEqual(inFlight)
      for (const name of ['receipted', 'taken', 'withdrawn'] as const) totals[name] += counts[name]
    }
    console.log(
      `${cuts} power cuts: ${totals.receipted} receipted, ${totals.taken} acked or claimed, ${totals.withdrawn} withdrawn, none lost`,
    )
    expect(totals.receipted).toBeGreaterThan(cuts)
    expect(totals.taken).toBeGreaterThan(cuts)
    expect(totals.withdrawn).toBeGreaterThan(cuts)
  },
)

test('a broker that does not flush is caught: it loses receipted messages', { timeout: 400_000 }, async (context) => {
  let lost = 0
  let round = 0
  while (lost === 0 && round < cuts) {
    using disk = diskFor(context)
    round += 1
    const { breaches } = await cutOnce(disk, round, 'normal')
    lost = breaches.filter(({ how }) => how === 'lost').length
  }
  console.log(`synchronous=NORMAL: ${lost} receipted messages lost at power cut ${round}`)
  expect(lost).toBeGreaterThan(0)
})
