/**
 * A map with its keys in order, for collections that mostly grow at the end and shrink at the front.
 *
 * Keys are kept in a sorted array that is put in order only when it is read: added keys wait in `#added`, deleted ones
 * stay in both as `#stale` until they are half of all, or until reads met as many of them as there are keys. So a put or a
 * delete is O(1), spread over many, and a read costs O(log n + what it gives), plus the ordering of what changed since the
 * last one.
 */
import type { Bounds } from './range.ts'

/** Up to this many added keys are inserted one by one; more are sorted together with all others. */
const insertOneByOne = 64
/** Up to this many deleted keys are not worth a sweep. */
const sweepFrom = 64

/**
 * Keys in order, each with a value.
 *
 * @internal
 */
export class SortedMap<V> {
  readonly #values: Map<string, V>
  #keys: string[]
  #added: string[] = []
  #stale = new Set<string>()
  /** Stale keys that reads met since they were last swept out. */
  #skipped = 0

  /** A copy of another map; the values are shared. */
  constructor(other?: SortedMap<V>) {
    this.#values = new Map(other === undefined ? [] : other.#values)
    this.#keys = [...this.#values.keys()].toSorted(compare)
  }

  /** The value of a key. */
  get(key: string): V | undefined {
    return this.#values.get(key)
  }

  /** Sets the value of a key. */
  set(key: string, value: V): void {
    if (!this.#values.has(key) && !this.#stale.delete(key)) this.#added.push(key)
    this.#values.set(key, value)
  }

  /** Removes a key, if it is there. */
  delete(key: string): void {
    if (!this.#values.delete(key)) return
    this.#stale.add(key)
    // Not only when it is read: nobody may ever read it.
    if (this.#stale.size > sweepFrom && this.#stale.size * 2 > this.#size) this.#sweep()
  }

  /** The entries within the bounds, at most `limit` (-1: all). */
  entries(bounds: Bounds, limit = -1, reverse = false): [key: string, value: V][] {
    this.#order()
    const { start, end } = this.#slice(bounds)
    const found: [string, V][] = []
    for (let step = 0; step < end - start && found.length !== limit; step += 1) {
      const key = this.#keys[reverse ? end - 1 - step : start + step]
      const value = key === undefined ? undefined : this.#values.get(key)
      if (key !== undefined && value !== undefined) found.push([key, value])
      else this.#skipped += 1
    }
    return found
  }

  /** How many entries are within the bounds. */
  count(bounds: Bounds): number {
    this.#order()
    const { start, end } = this.#slice(bounds)
    let count = end - start
    for (const key of this.#stale) {
      const place = this.#place(key, false)
      if (place >= start && place < end) count -= 1
    }
    return count
  }

  /** From `start` up to, not including, `end`; empty where the bounds cross. */
  #slice({ lower, lowerIncluded, upper }: Bounds): { start: number; end: number } {
    const start = lower === undefined ? 0 : this.#place(lower, !lowerIncluded)
    const end = upper === undefined ? this.#keys.length : this.#place(upper, false)
    return { start, end: Math.max(start, end) }
  }

  /** The first place whose key is at least `key`, or, with `beyond`, greater than it. */
  #place(key: string, beyond: boolean): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const candidate = this.#keys[middle] ?? ''
      if (candidate < key || (beyond && candidate === key)) low = middle + 1
      else high = middle
    }
    return low
  }

  #order(): void {
    if (this.#stale.size * 2 > this.#size || this.#skipped > this.#size) this.#sweep()
    if (this.#added.length > insertOneByOne) this.#keys = [...this.#keys, ...this.#added].toSorted(compare)
    else for (const key of this.#added) this.#insert(key)
    this.#added = []
  }

  /** Keys in both arrays, stale ones included. */
  get #size(): number {
    return this.#keys.length + this.#added.length
  }

  #sweep(): void {
    this.#keys = this.#keys.filter((key) => !this.#stale.has(key))
    this.#added = this.#added.filter((key) => !this.#stale.has(key))
    this.#stale.clear()
    this.#skipped = 0
  }

  #insert(key: string): void {
    const last = this.#keys.at(-1)
    if (last === undefined || last < key) this.#keys.push(key)
    else this.#keys.splice(this.#place(key, false), 0, key)
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
