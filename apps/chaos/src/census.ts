/**
 * The census: every process that a chaos run ever started, directly or not, so that none is overlooked in the end.
 *
 * Programs are known by a variable of their environment. Guards have an environment of their own, so they are known by
 * their parents: whoever descends from this process is noted at each look, and the last look at a victim's family is just
 * before it is killed.
 */
import { allProcesses, commandOf, factsOf, isAlive, isMarked, type ProcessFacts } from './processes.ts'

/** The variable that marks every process with an environment of ours. */
export const markName = 'GREENROOM_CHAOS'

/** See the head of this file. */
export class Census {
  /** The marking variable's value. */
  readonly mark: string
  readonly #since: string
  readonly #known = new Map<string, ProcessFacts>()

  constructor(mark: string) {
    this.mark = mark
    this.#since = factsOf(process.pid)?.stamp ?? '0'
  }

  /** Notes who is there. */
  look(): void {
    const all = allProcesses()
    const children = Map.groupBy(all, ({ parent }) => parent)
    const family = [process.pid, ...[...this.#known.values()].map(({ pid }) => pid)]
    for (const pid of new Set(family)) this.#note(children, pid)
    for (const [key, { pid, stamp }] of this.#known) if (!isAlive(pid, stamp)) this.#known.delete(key)
  }

  #note(children: ReadonlyMap<number, readonly ProcessFacts[]>, parent: number): void {
    for (const child of children.get(parent) ?? []) {
      const key = `${child.pid} ${child.stamp}`
      if (this.#known.has(key)) continue
      this.#known.set(key, child)
      this.#note(children, child.pid)
    }
  }

  /**
   * Workers whose runner has ended.
   *
   * @param members - whose children the others are
   */
  leftWorkers(members: readonly number[]): ProcessFacts[] {
    const workers = allProcesses().filter((facts) => isWorker(facts) && isMarked(facts.pid, markName, this.mark))
    // What a worker starts has the worker's command until it has its own.
    const parents = new Set([...members, ...workers.map(({ pid }) => pid)])
    return workers.filter(({ parent }) => !parents.has(parent))
  }

  /** The workers of a runner. */
  workersOf(runner: number): ProcessFacts[] {
    return allProcesses().filter((facts) => facts.parent === runner && isWorker(facts))
  }

  /** Who is still alive, in words. */
  left(): string[] {
    return this.#alive().map(({ pid }) => `${pid} ${commandOf(pid)}`)
  }

  /** Kills who is still alive. */
  end(): void {
    for (const { pid } of this.#alive()) process.kill(pid, 'SIGKILL')
  }

  #alive(): ProcessFacts[] {
    this.look()
    const marked = allProcesses().filter(
      ({ pid, stamp, isZombie }) =>
        pid !== process.pid && !isZombie && Number(stamp) >= Number(this.#since) && isMarked(pid, markName, this.mark),
    )
    const all = new Map([...this.#known.values(), ...marked].map((facts) => [facts.pid, facts]))
    return [...all.values()].filter(({ pid, stamp }) => isAlive(pid, stamp))
  }
}

/** Not one that does not run yet: its shell waits until its guard knows it. */
function isWorker({ pid, isZombie }: ProcessFacts): boolean {
  const command = isZombie ? '' : commandOf(pid)
  return command.endsWith(' --greenroom-worker') && !command.startsWith('/bin/sh ')
}
