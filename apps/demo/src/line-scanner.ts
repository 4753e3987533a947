/**
 * Counts the lines of one file out of its chunks and keeps those that say TODO or FIXME.
 *
 * A line may be longer than memory: of each only its first {@link HEAD} bytes and its last few are held.
 */

/** Files with a NUL byte in their first so many bytes are binary. */
const SNIFF = 8192
/** How much of a line is kept to show it, in bytes. */
const HEAD = 4096
/** How many lines of one file are kept. */
const MARKED_PER_FILE = 1000
/** How long a line is shown, in UTF-16 units. */
const TEXT = 200

/** A mark brings its own context, so that a line may be searched in pieces that overlap by one mark less one byte. */
const MARK = /\W(?:TODO|FIXME)\W/
const OVERLAP = 6

/** A line that says TODO or FIXME. */
export interface MarkedLine {
  /** From 1. */
  readonly line: number
  /** Trimmed, at most 200 characters. */
  readonly text: string
}

/** Reads a file chunk by chunk. */
export class LineScanner {
  /** Newline characters so far; 0 once the file is {@link binary}. */
  lines = 0
  bytes = 0
  binary = false
  /** How many lines are marked; only the first thousand are in {@link marked}. */
  markedCount = 0
  readonly marked: MarkedLine[] = []
  /** The start of a line whose end is not there yet. */
  #head: Buffer[] = []
  #headBytes = 0
  /** The end of the line so far; a newline stands for the line's start. */
  #tail = '\n'
  #isMarked = false

  /** Takes the next bytes. They may be overwritten afterwards. */
  push(chunk: Buffer): void {
    if (this.bytes < SNIFF && chunk.subarray(0, SNIFF - this.bytes).includes(0)) this.#becomeBinary()
    this.bytes += chunk.length
    if (this.binary) return
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      this.#endLine(chunk.subarray(from, end + 1))
      this.lines++
      from = end + 1
    }
    if (from < chunk.length) this.#hold(chunk.subarray(from))
  }

  /** Says that the file is over: its last line may have no newline. */
  end(): void {
    if (!this.binary && this.#headBytes > 0) this.#endLine(Buffer.of(10))
  }

  #look(bytes: Buffer): void {
    const probe = this.#tail + bytes.toString('latin1')
    this.#isMarked ||= MARK.test(probe)
    this.#tail = probe.slice(-OVERLAP)
  }

  #hold(bytes: Buffer): void {
    this.#look(bytes)
    const part = Buffer.from(bytes.subarray(0, HEAD - this.#headBytes))
    this.#head.push(part)
    this.#headBytes += part.length
  }

  #endLine(last: Buffer): void {
    this.#look(last)
    if (this.#isMarked) {
      this.markedCount++
      if (this.marked.length < MARKED_PER_FILE) this.marked.push({ line: this.lines + 1, text: this.#text(last) })
    }
    this.#startLine()
  }

  #text(last: Buffer): string {
    const head = Buffer.concat([...this.#head, last.subarray(0, HEAD - this.#headBytes)])
    // The cut may go through a surrogate pair.
    return head
      .toString()
      .trim()
      .slice(0, TEXT)
      .replace(/[\ud800-\udbff]$/, '')
  }

  #startLine(): void {
    this.#head = []
    this.#headBytes = 0
    this.#tail = '\n'
    this.#isMarked = false
  }

  #becomeBinary(): void {
    this.binary = true
    this.lines = 0
    this.markedCount = 0
    this.marked.length = 0
    this.#startLine()
  }
}
