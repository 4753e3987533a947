/** What an idle worker weighs. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { residentMiB } from './bare.ts'
import { alternate, compare, type Comparison } from './figure.ts'
import { openWorkshop } from './workshop.ts'

/** Long enough for start-up garbage to be collected or not: the same for both sides. */
const settleMs = 300

async function bareWeight(): Promise<number> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' })
  await once(child, 'spawn')
  await wait(settleMs)
  const weight = await residentMiB(child.pid ?? 0)
  child.kill()
  await once(child, 'exit')
  return weight
}

/** Resident memory of an idle worker beside a bare process. */
export async function idle(rounds: number): Promise<Comparison[]> {
  await using workshop = await openWorkshop()
  const weight = async (): Promise<number> => {
    await using worker = await workshop.start()
    await wait(settleMs)
    return await residentMiB(worker.pid)
  }
  return [
    compare(
      { bench: 'idle', what: 'resident memory of a worker', unit: 'MiB', limitIs: 'a bare node process' },
      await alternate(rounds, weight, bareWeight),
    ),
  ]
}
