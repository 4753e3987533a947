/**
 * How much memory the members of a stage take.
 *
 * By the minute it goes up and down: V8 lets garbage lie until it collects it, for minutes where there is room, and that is more
 * than what is to be noticed. So growth is counted between two moments at which each member has just collected: in between
 * nobody collects but V8 as it likes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
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

  #each(one: (sorted: readonly number[]) => number | undefined): Residents {
    const numberOf = (samples: readonly number[] = []): number =>
      Math.round((one(samples.toSorted((a, b) => a - b)) ?? 0) * 10) / 10
    return Object.fromEntries([...this.#samples].map(([name, minutes]) => [name, Array.from(minutes, numberOf)]))
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

/** How long a collection may take, and the giving back of what it freed, in milliseconds. */
const settleMs = 2_000

/** How often it is read: what is in progress at one moment takes some, too. */
const readings = 3

/** The resident memory of each member, in MiB, right after it has collected all its garbage: the median of a few moments. */
export async function collectedMiB(stage: Stage): Promise<Readonly<Record<string, number>>> {
  const read = new Map<string, number[]>()
  for (let reading = 0; reading < readings; reading += 1) {
    const members = stage.members.flatMap(({ name, pid, isReady }) =>
      pid === undefined || !isReady ? [] : [{ name, pid }],
    )
    for (const { pid } of members) process.kill(pid, 'SIGUSR2')
    await sleep(settleMs)
    for (const { name, pid } of members) read.set(name, [...(read.get(name) ?? []), residentMiB(pid, 'VmRSS') ?? 0])
  }
  const medianOf = (sizes: readonly number[]): number => sizes.toSorted((a, b) => a - b)[sizes.length >> 1] ?? 0
  return Object.fromEntries([...read].map(([name, sizes]) => [name, medianOf(sizes)]))
}

/**
 * By how much each member grew, in percent.
 *
 * @param before - in MiB, by member
 * @param after - later
 */
export function growthOf(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Record<string, number> {
  const percent = (name: string, size: number): number => Math.round(((after[name] ?? size) / size - 1) * 1_000) / 10
  return Object.fromEntries(Object.entries(before).map(([name, size]) => [name, percent(name, size)]))
}
