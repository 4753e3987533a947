/**
 * The live view: how far the surveyors are. On a terminal a row each, rewritten in place; elsewhere a line for what
 * changes. It writes to standard error, the report has standard output to itself.
 */
import { createLogUpdate } from 'log-update'
import { visible } from './file-name.ts'
import { branchOf, inOrder, pidOf, type Child } from './child.ts'
import { totalOf } from './tally.ts'

/** How often rows are drawn, in milliseconds. */
const FRAME = 100
/** Rows that stay free on the terminal. */
const FREE = 2

/** Shows surveyors while they work. */
export interface LiveView {
  /** A surveyor started, went on or ended. */
  readonly update: (child: Child) => void
  /** A line that stays. */
  readonly say: (line: string) => void
  /** Leaves the stream to somebody else until it is disposed of: lines wait meanwhile. */
  readonly pause: () => Disposable
  /** Ends the view; a terminal is as it was before. Idempotent. */
  readonly close: () => void
}

/**
 * Opens the view that fits the stream.
 *
 * @param stream - standard error
 */
export function openLiveView(stream: NodeJS.WriteStream): LiveView {
  return sizeOf(stream) > 0 ? rows(stream) : lines(stream)
}

/** Lines that wait while the view is paused. */
class Patience {
  #held: string[] | undefined

  get isPaused(): boolean {
    return this.#held !== undefined
  }

  /** Whether a line has to wait; it is kept then. */
  keeps(line: string): boolean {
    return this.#held?.push(line) !== undefined
  }

  pause(resume: (held: readonly string[]) => void): Disposable {
    this.#held ??= []
    return {
      [Symbol.dispose]: () => {
        const held = this.#held ?? []
        this.#held = undefined
        resume(held)
      },
    }
  }
}

/** How many characters fit on the terminal; 0 when it is none, or does not say (it then says 0 itself). */
const sizeOf = ({ isTTY, columns, rows: height }: NodeJS.WriteStream): number => (isTTY ? columns * height : 0)

const INVITATION = 'Isolated processes: `kill -9` one of these pids and watch.'

// --- A terminal -------------------------------------------------------------------------------------------

function rows(stream: NodeJS.WriteStream): LiveView {
  const log = createLogUpdate(stream)
  const children = new Map<string, Child>()
  const patience = new Patience()
  let isOpen = true
  const draw = (): void => {
    if (!patience.isPaused) log(frame([...children.values()].sort(inOrder), stream.columns, stream.rows))
  }
  const say = (line: string): void => {
    if (patience.keeps(line)) return
    if (isOpen) log.persist(visible(line))
    else stream.write(`${visible(line)}\n`)
    if (isOpen && children.size > 0) draw()
  }
  const timer = setInterval(draw, FRAME)
  stream.on('resize', draw)
  return {
    say,
    update(child) {
      if (children.size === 0) say(INVITATION)
      children.set(child.name, child)
      if (child.problem !== undefined) say(farewell(child))
    },
    pause() {
      // The cursor comes back, too.
      log.clear()
      log.done()
      return patience.pause((held) => held.forEach(say))
    },
    close() {
      if (!isOpen) return
      clearInterval(timer)
      stream.off('resize', draw)
      draw()
      log.done()
      isOpen = false
    },
  }
}

/** One picture: those at work first, as many as fit. */
function frame(children: readonly Child[], columns: number, height: number): string {
  const fit = Math.max(1, height - FREE)
  const byNeed = [...children].sort((a, b) => Number(hasEnded(a)) - Number(hasEnded(b)))
  const shown = byNeed.length <= fit ? [...children] : byNeed.slice(0, fit - 1).sort(inOrder)
  const more = children.length - shown.length
  const width = Math.max(0, ...shown.map((child) => labelOf(child).length))
  const all = [...shown.map((child) => row(child, width)), ...(more > 0 ? [`… and ${more} more`] : [])]
  return all.map((line) => line.slice(0, Math.max(1, columns - 1))).join('\n')
}

/** Further in than its parent. */
const labelOf = (child: Child): string =>
  child.parent === undefined ? `#${child.name}`.padStart(3) : ` ${branchOf(child)}#${child.name}`

function row(child: Child, width: number): string {
  const { placement, events, ms } = child.status()
  const cells = [
    labelOf(child).padEnd(width),
    stateOf(child).padEnd(9),
    `pid ${pidOf(child) ?? '–'}`.padEnd(11),
    (placement?.kind ?? '').padEnd(6),
    `${(ms / 1000).toFixed(1)} s`.padStart(6),
    `${events} events`.padStart(10),
    `${child.done}/${child.listed} files`,
  ]
  return cells.join('  ')
}

// --- Elsewhere --------------------------------------------------------------------------------------------

function lines(stream: NodeJS.WritableStream): LiveView {
  const said = new Map<string, string>()
  const patience = new Patience()
  let isInvited = false
  const say = (line: string): void => {
    if (!patience.keeps(line)) stream.write(`${visible(line)}\n`)
  }
  return {
    say,
    update(child) {
      if (!isInvited) say(INVITATION)
      isInvited = true
      const { ms, phase } = child.status()
      if (phase === 'planning' || phase === 'queued' || phase === 'starting') return
      // It has not said yet which one it is in.
      if (pidOf(child) === undefined && !hasEnded(child)) return
      const state = stateOf(child)
      const end = hasEnded(child) ? `, ${child.done} of ${child.listed} files in ${Math.round(ms)} ms` : ''
      const line = child.problem === undefined ? `${nameOf(child)}: ${state}${end}` : farewell(child)
      if (said.get(child.name) !== line) say(line)
      said.set(child.name, line)
    },
    pause: () => patience.pause((held) => held.forEach(say)),
    close() {},
  }
}

// --- Both -------------------------------------------------------------------------------------------------

const hasEnded = (child: Child): boolean => child.status().status !== undefined

function stateOf(child: Child): string {
  const { phase, status } = child.status()
  return status ?? phase
}

/** Which one it is, in which process, and where that is unless it is the usual. */
function nameOf(child: Child): string {
  const { placement } = child.status()
  const where = placement === undefined || placement.kind === 'local' ? '' : `, ${placement.kind}`
  return `surveyor ${child.name} (pid ${pidOf(child) ?? '–'}${where})`
}

function farewell(child: Child): string {
  const { status } = child.status()
  const others = status === 'cancelled' ? '' : ', the others go on'
  const counted = `${totalOf(child.finding).files} of its ${child.listed} files are counted${others}`
  return `${nameOf(child)} did not complete: ${child.problem ?? ''} (${counted})`
}
