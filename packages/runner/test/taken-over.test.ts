/** A detached attempt that is taken over, and that the bus gives up while it still says something. */
import { encodeMessage, type Bus, type Outgoing, type Peer, type PeerOptions } from '@greenroom/proto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { dead, Scene } from './fixtures/left-over.ts'
import { readAll, until } from './fixtures/setup.ts'

// Of a process elsewhere only the bus can say that it is gone.
const left = { ...dead, host: 'elsewhere', detached: { limits: {} } }

const events = (first: number, ...texts: readonly string[]): Outgoing => ({
  to: 'runner.me',
  id: `events-r1-1-${first}`,
  kind: 'events',
  payload: encodeMessage('events', {
    runId: 'r1',
    epoch: 1,
    first,
    events: texts.map((content) => ({ type: 'message', message: { role: 'assistant', content } })),
  }),
})

/** A bus that gives workers up when it is told to, and fences nobody before `said`. */
function impatient(bus: Bus, said: Promise<void>): { readonly bus: Bus; readonly giveUp: () => void } {
  let giveUp = (): void => undefined
  const attach = bus.attach.bind(bus)
  const attached = async (options: PeerOptions): Promise<Peer> => {
    const peer = await attach(options)
    const [fence, watch] = [peer.fence.bind(peer), peer.watch.bind(peer)]
    const late: Peer['fence'] = (target, call) => said.then(() => fence(target, call))
    const seen: Peer['watch'] = (role, listener) =>
      watch(role, (change) => {
        giveUp = () => listener({ ...change, state: 'gone' })
        listener(change)
      })
    return Object.assign(peer, { fence: late, watch: seen })
  }
  return { bus: Object.assign(bus, { attach: attached }), giveUp: () => giveUp() }
}

test('what came after it was given up is not said to be lost', async () => {
  await using scene = new Scene()
  await scene.left('r1', { attempt: left, entries: 1 })
  const worker = await scene.worker('r1')
  worker.peer.announce({ role: 'worker-of.me', slots: 0 })
  const said = Promise.withResolvers<void>()
  const { bus, giveUp } = impatient(scene.bus.client(), said.promise)
  const hasEnded = async (): Promise<boolean> => {
    await worker.peer.send(events(2, 'two', 'three'))
    said.resolve()
    return true
  }
  const runner = await scene.life({ bus, worker: { launch: () => expect.fail(), hasEnded } })
  const [run] = await runner.resume()
  await until(() => run?.status().worker !== undefined, 'taking over')
  await sleep(50)
  const beat = { runId: 'r1', epoch: 1, lastSentSeq: 4, progressSeq: 4, loopLagMs: 0 }
  worker.peer.publish({ to: 'runner.me', kind: 'heartbeat', payload: encodeMessage('heartbeat', beat) })
  await sleep(50)
  giveUp()
  expect(await run?.outcome).toMatchObject({ code: 'WORKER_LOST', eventsLost: { first: 4, last: 4 } })
  const read = await readAll(await runner.attach('r1'))
  expect(read.map((event) => event.type === 'message' && event.message.content)).toEqual([
    'first words 1',
    'two',
    'three',
  ])
})

test('a last word that comes while what was told before it is being stored is believed', async () => {
  await using scene = new Scene()
  await scene.left('r1', { attempt: left, entries: 1 })
  const worker = await scene.worker('r1')
  worker.peer.announce({ role: 'worker-of.me', slots: 0 })
  const said = Promise.withResolvers<void>()
  const storing = Promise.withResolvers<void>()
  const { bus, giveUp } = impatient(scene.bus.client(), said.promise)
  scene.onCommit = async (batch) => {
    if (!batch.some((operation) => 'put' in operation && operation.put === 'entry')) return
    storing.resolve()
    await said.promise
  }
  const runner = await scene.life({ bus, worker: { launch: () => expect.fail(), hasEnded: () => true } })
  const [run] = await runner.resume()
  await until(() => run?.status().worker !== undefined, 'taking over')
  await worker.peer.send(events(2, 'two'))
  await storing.promise
  giveUp()
  await sleep(100)
  await worker.say({ lastSeq: 2 })
  await sleep(50)
  said.resolve()
  expect(await run?.outcome).toMatchObject({ status: 'completed', output: 'its word' })
  await until(() => scene.bus.stats().messages === 0, 'an empty bus')
})
