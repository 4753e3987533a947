/** How long a fresh worker takes until it could be given a run. */
import { bareStart } from './bare.ts'
import { alternate, compare, type Comparison } from './figure.ts'
import { openWorkshop } from './workshop.ts'

/** Cold start beside the bare start of a process. */
export async function coldStart(rounds: number): Promise<Comparison[]> {
  await using workshop = await openWorkshop()
  const ready = async (): Promise<number> => {
    await using worker = await workshop.start()
    return worker.readyMs
  }
  return [
    compare(
      { bench: 'cold', what: 'spawn until attached', unit: 'ms', limitIs: 'node -e 0' },
      await alternate(rounds, ready, bareStart),
    ),
  ]
}
