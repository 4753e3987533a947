/** Puts the findings of single files together into pieces that are worth sending, and not too big to. */
import type { Counted } from './count.ts'
import { languageOf } from './language.ts'
import { longestOf, nothing, plus, totalOf, type Finding, type Sum } from './tally.ts'

/** A piece holds this many files, or this many bytes of files, or a little more. */
const FILES = 200
const BYTES = 4 * 1024 * 1024
/** How many marked lines go into one piece: far below a message's limit, however strange the names and lines are. */
const TODOS = 25

/** Collects what a surveyor finds. */
export class FindingBuilder {
  #finding: Finding = nothing()
  #taken: Sum = { files: 0, lines: 0, bytes: 0 }

  /** Notes what became of a file. */
  add(path: string, counted: Counted): void {
    const finding = this.#finding
    if (counted.status === 'vanished') {
      finding.vanished.push(path)
      return
    }
    const { bytes } = counted
    const lines = counted.status === 'counted' ? counted.lines : 0
    const language = languageOf(path)
    const so = finding.languages[language] ?? { files: 0, lines: 0, bytes: 0 }
    finding.languages[language] = plus(so, { files: 1, lines, bytes })
    finding.longest.push({ path, lines })
    if (counted.status === 'unreadable') finding.unreadable.push(path)
    else {
      finding.todos.push(...counted.marked.map((marked) => ({ path, ...marked })))
      finding.todoCount += counted.markedCount
    }
  }

  /** Whether there is enough to be worth sending. */
  get isFull(): boolean {
    const { files, bytes } = totalOf(this.#finding)
    const { vanished, todos } = this.#finding
    return files + vanished.length >= FILES || bytes >= BYTES || todos.length >= TODOS
  }

  /** Everything that was added since the last time, in pieces; none when that is nothing. */
  take(): Finding[] {
    const { todos, longest, ...rest } = this.#finding
    const pieces: Finding[] = []
    for (let from = 0; from < todos.length; from += TODOS)
      pieces.push({ ...nothing(), todos: todos.slice(from, from + TODOS) })
    const sum = totalOf(this.#finding)
    if (sum.files + rest.vanished.length > 0) pieces.push({ ...rest, longest: longestOf(longest), todos: [] })
    this.#taken = plus(this.#taken, sum)
    this.#finding = nothing()
    return pieces
  }

  /** The sum over all files that were taken. */
  get total(): Sum {
    return this.#taken
  }
}
