/**
 * How much memory the members of a stage take, by the minute.
 *
 * It goes up and down: V8 lets garbage lie until it collects it, every half minute to two minutes at this load, and that is
 * more than what is to be noticed. So what counts is the least of a window in which each collects at least once: whatever
 * stays raises it, whatever does not stay does not.
 */
import { residentMiB } from './processes.ts'
import type { Stage } from './stage.ts'

/** A number for each minute, in MiB, by member: over all that were it meanwhile. */
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

  /** The median of each minute. */
  get medians(): Residents {
    return this.#each((sorted) => sorted[Math.floor(sorted.length / 2)])
  }

  /** The least of each minute. */
  get least(): Residents {
    return this.#each(([least]) => least)
  }

  #each(one: (sorted: readonly number[]) => number | undefined): Residents {
    const numberOf = (samples: readonly number[] = []): number =>
      Math.round((one(samples.toSorted((a, b) => a - b)) ?? 0) * 10) / 10
    return Object.fromEntries([...this.#samples].map(([name, minutes]) => [name, Array.from(minutes, numberOf)]))
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

/**
 * By how much each member grew, in percent: from the least around the end of its third minute to the least of its last two.
 *
 * @param least - of each minute; of less than six there is nothing to say
 */
export function growthOf(least: Residents): Record<string, number> {
  const grown: Record<string, number> = {}
  for (const [name, minutes] of Object.entries(least)) {
    if (minutes.length < 6) continue
    const [third, last] = [Math.min(...minutes.slice(2, 4)), Math.min(...minutes.slice(-2))]
    grown[name] = Math.round((last / third - 1) * 1_000) / 10
  }
  return grown
}
