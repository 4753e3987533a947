/**
 * Turns: who may work on a mailbox now.
 *
 * Some work touches single messages (send, ack, claim, revoke) and may overlap as long as the messages differ; some
 * needs the mailbox alone (attach, gone). Both wait for the disk in the middle, so both must be kept apart.
 *
 * - *U1* No two pieces of work with a key in common run at once; work that is alone runs with nobody.
 * - *U2* What has to wait runs in the order of the calls; nothing that came later and conflicts overtakes it.
 * - *U3* Work that conflicts with nobody starts within the call.
 * - *U4* A turn costs as much as it has keys, however many wait; only one that is alone looks at all others.
 */

/** What a piece of work needs: some keys, or the whole. */
export type Need = readonly string[] | 'alone'

/** One piece of work, from its call to its end. */
interface Turn {
  readonly need: Need
  /** How many must end before it starts. */
  waits: number
  /** Those who wait for its end. */
  readonly followers: Turn[]
  /** Starts it when it had to wait. */
  start: () => void
}

/** The turns of one mailbox; see U1 to U4. */
export class Turns {
  /** The last turn of each key; only of those that came after the last one that is alone. */
  readonly #last = new Map<string, Turn>()
  /** All that came after the last one that is alone. */
  readonly #open = new Set<Turn>()
  /** The last one that is alone. */
  #alone: Turn | undefined

  /** Whether nothing runs or waits. */
  get idle(): boolean {
    return this.#open.size === 0 && this.#alone === undefined
  }

  /**
   * Runs work when its turn has come.
   *
   * @param need - what it must not share
   * @param work - runs once; its end, however it ends, lets the next in
   */
  take<T>(need: Need, work: () => Promise<T>): Promise<T> {
    const turn: Turn = { need, waits: 0, followers: [], start() {} }
    if (need === 'alone') this.#queueAlone(turn)
    else this.#queue(turn, need)
    if (turn.waits === 0) return this.#run(turn, work)
    return new Promise((resolve, reject) => {
      turn.start = () => void this.#run(turn, work).then(resolve, reject)
    })
  }

  #queueAlone(turn: Turn): void {
    for (const earlier of this.#open) follow(turn, earlier)
    if (this.#alone !== undefined) follow(turn, this.#alone)
    this.#alone = turn
    this.#open.clear()
    this.#last.clear()
  }

  #queue(turn: Turn, keys: readonly string[]): void {
    if (this.#alone !== undefined) follow(turn, this.#alone)
    for (const key of keys) {
      const earlier = this.#last.get(key)
      if (earlier !== undefined && earlier !== turn) follow(turn, earlier)
      this.#last.set(key, turn)
    }
    this.#open.add(turn)
  }

  async #run<T>(turn: Turn, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } finally {
      this.#end(turn)
    }
  }

  #end(turn: Turn): void {
    if (this.#alone === turn) this.#alone = undefined
    this.#open.delete(turn)
    if (turn.need !== 'alone') for (const key of turn.need) if (this.#last.get(key) === turn) this.#last.delete(key)
    for (const follower of turn.followers) {
      follower.waits -= 1
      if (follower.waits === 0) follower.start()
    }
  }
}

function follow(turn: Turn, earlier: Turn): void {
  earlier.followers.push(turn)
  turn.waits += 1
}
