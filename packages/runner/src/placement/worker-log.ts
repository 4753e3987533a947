/**
 * What a worker writes, as its runs see it: a warm worker's lines belong to the run that had it when they came, or that
 * had it last.
 */

const keepChars = 64 * 1024
/** So that empty lines, too, are bounded. */
const lineWeight = 16

/** The lines that came for one run: the last 64 KiB, whatever it writes. */
export class LogPart {
  #lines: string[] = []
  #chars = 0
  #over = false

  /** The lines so far. */
  get lines(): readonly string[] {
    return this.#lines
  }

  /** Whether its run is over. */
  get isOver(): boolean {
    return this.#over
  }

  /** The run is over. What it wrote last may still be on its way: lines are taken until the next run begins. */
  end(): void {
    this.#over = true
  }

  /** @internal */
  add(line: string): void {
    this.#lines.push(line)
    this.#chars += line.length + lineWeight
    const firstKept = this.#lines.findIndex((old) => {
      if (this.#chars <= keepChars) return true
      this.#chars -= old.length + lineWeight
      return false
    })
    if (firstKept > 0) this.#lines = this.#lines.slice(firstKept)
  }
}

/** A worker's lines. */
export class WorkerLog {
  readonly #parts = new Set<LogPart>()

  /** Begins a run's part. */
  open(): LogPart {
    for (const part of this.#parts) if (part.isOver) this.#parts.delete(part)
    const part = new LogPart()
    this.#parts.add(part)
    return part
  }

  /**
   * Adds a line.
   *
   * @param line - without its end
   */
  add(line: string): void {
    for (const part of this.#parts) part.add(line)
  }
}
