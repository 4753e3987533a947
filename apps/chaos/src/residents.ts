/** How much memory the members of a stage take, by the minute. */
import { residentMiB } from './processes.ts'
import type { Stage } from './stage.ts'

/** The median of each minute, in MiB, by member: over all that were it meanwhile. */
export type Residents = Readonly<Record<string, readonly number[]>>

const sampleMs = 1_000
const minuteMs = 60_000

/** Samples the members of a stage until it is disposed of. */
export class ResidentWatch implements Disposable {
  readonly #samples = new Map<string, number[][]>()
  readonly #timer: NodeJS.Timeout

  /**
   * @param stage - whose members
   * @param part - all of their memory, or what is no file's
   */
  constructor(stage: Stage, part: 'VmRSS' | 'RssAnon') {
    const start = performance.now()
    this.#timer = setInterval(() => {
      const minute = Math.floor((performance.now() - start) / minuteMs)
      for (const { name, pid, isReady } of stage.members) {
        const size = pid === undefined || !isReady ? undefined : residentMiB(pid, part)
        if (size !== undefined) this.#minute(name, minute).push(size)
      }
    }, sampleMs)
  }

  #minute(name: string, minute: number): number[] {
    const minutes = this.#samples.get(name) ?? []
    this.#samples.set(name, minutes)
    return (minutes[minute] ??= [])
  }

  /** What was sampled so far. */
  get medians(): Residents {
    return Object.fromEntries([...this.#samples].map(([name, minutes]) => [name, Array.from(minutes, medianOf)]))
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

function medianOf(samples: readonly number[] = []): number {
  const middle = samples.toSorted((a, b) => a - b)[Math.floor(samples.length / 2)]
  return middle === undefined ? 0 : Math.round(middle * 10) / 10
}

/**
 * By how much each member grew from its third minute to its last, in percent.
 *
 * @param residents - of ten minutes; of less than four there is nothing to say
 */
export function growthOf(residents: Residents): Record<string, number> {
  const grown: Record<string, number> = {}
  for (const [name, minutes] of Object.entries(residents)) {
    const [third, last] = [minutes[2], minutes.at(-1)]
    if (minutes.length > 3 && third !== undefined && last !== undefined)
      grown[name] = Math.round((last / third - 1) * 1_000) / 10
  }
  return grown
}
