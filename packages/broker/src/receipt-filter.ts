/**
 * Which ids surely have no receipt, so that a message that is sent for the first time costs no read of the disk.
 *
 * A Bloom filter over the keys of receipts: it may take a key for one of them that is none, and then the disk is read as
 * it would be without it; the other way round it never errs.
 *
 * - *F1* A key is noted before it is committed.
 * - *F2* A walk over all receipts on the disk fills a filter anew, since after a start it knows none, and since of what is
 *   forgotten nothing can be taken out. What is noted during a walk is noted in both.
 * - *F3* Nothing is excluded before the first walk has ended.
 */

/** 2 MiB; untouched memory of it costs nothing. */
const defaultBits = 2 ** 24
/** Of each key. */
const probes = 4
/** Above so many bits a key, about one in a hundred other keys is taken for it; below, a filter is worn. */
const bitsAKey = 10

/** See F1 to F3. */
export class ReceiptFilter {
  readonly #bits: number
  #present: Bits | undefined
  #next: Bits | undefined

  /** @param bits - a power of two */
  constructor(bits = defaultBits) {
    this.#bits = bits
  }

  /** Whether the first walk has ended. */
  get isReady(): boolean {
    return this.#present !== undefined
  }

  /** A receipt of this key is about to be committed. */
  note(key: string): void {
    this.#present?.add(key)
    this.#next?.add(key)
  }

  /** A walk found a receipt of this key on the disk. */
  find(key: string): void {
    this.#next?.add(key)
  }

  /** Whether there surely is no receipt of this key. */
  excludes(key: string): boolean {
    return this.#present !== undefined && !this.#present.mayHave(key)
  }

  /**
   * A walk begins, if one is needed and none is under way.
   *
   * @returns whether one begins: then what is being committed has to be settled before the first look, for it was not
   * noted
   */
  beginWalk(): boolean {
    const isNeeded = this.#present === undefined || this.#present.count * bitsAKey > this.#bits
    if (!isNeeded || this.#next !== undefined) return false
    this.#next = new Bits(this.#bits)
    return true
  }

  /** Every receipt that was on the disk was found since the walk began. */
  endWalk(): void {
    this.#present = this.#next ?? this.#present
    this.#next = undefined
  }
}

class Bits {
  /** Keys added, some of them perhaps twice. */
  count = 0
  readonly #words: Uint32Array
  readonly #mask: number

  constructor(bits: number) {
    this.#words = new Uint32Array(bits / 32)
    this.#mask = bits - 1
  }

  add(key: string): void {
    this.count += 1
    const words = this.#words
    const [place, step] = hashes(key)
    for (let probe = 0; probe < probes; probe += 1) {
      const bit = (place + probe * step) & this.#mask
      words[bit >>> 5] = (words[bit >>> 5] ?? 0) | (1 << (bit & 31))
    }
  }

  mayHave(key: string): boolean {
    const [place, step] = hashes(key)
    for (let probe = 0; probe < probes; probe += 1) {
      const bit = (place + probe * step) & this.#mask
      if (((this.#words[bit >>> 5] ?? 0) & (1 << (bit & 31))) === 0) return false
    }
    return true
  }
}

/** Two hashes of a text of ASCII: FNV-1a, and one of another factor; then each is mixed, for the low bits count. */
function hashes(key: string): [place: number, step: number] {
  let a = 0x811c9dc5
  let b = 0x9e3779b9
  for (let index = 0; index < key.length; index += 1) {
    const code = key.charCodeAt(index)
    a = Math.imul(a ^ code, 0x01000193)
    b = Math.imul(b ^ code, 0x85ebca6b)
  }
  return [mixed(a), mixed(b) | 1]
}

function mixed(hash: number): number {
  const half = Math.imul(hash ^ (hash >>> 16), 0x21f0aaad)
  const most = Math.imul(half ^ (half >>> 15), 0x735a2d97)
  return most ^ (most >>> 15)
}
