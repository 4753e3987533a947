/** The storm: what happens to a stage, and when, drawn from a seed. Who is hit depends on who is there. */
import type { Chance } from './chance.ts'
import { isAlive, type ProcessFacts } from './processes.ts'
import type { Member } from './member.ts'
import { partitionGraceMs, pingMs, type Stage } from './stage.ts'
import { setTimeout as sleep } from 'node:timers/promises'

/** How often each thing happened. */
export interface Weather {
  readonly kills: Record<'broker' | 'runner' | 'worker', number>
  /** By how long: within two pings, within the partition grace, beyond it. */
  readonly stops: Record<'broker' | 'runner' | 'worker', Record<Length, number>>
  /** Connections that were cut, or nothing passed through any more. */
  readonly connections: Record<'cut' | 'halfOpen', number>
  /** Times that a disk was below its reserve, or had no byte left. */
  readonly disks: Record<'low' | 'full', number>
}

/** How long somebody is stopped. */
type Length = 'short' | 'silent' | 'gone'

/** None of it yet. */
export function fairWeather(): Weather {
  const none = (): Record<Length, number> => ({ short: 0, silent: 0, gone: 0 })
  return {
    kills: { broker: 0, runner: 0, worker: 0 },
    stops: { broker: none(), runner: none(), worker: none() },
    connections: { cut: 0, halfOpen: 0 },
    disks: { low: 0, full: 0 },
  }
}

/** What may happen: `all`; `workers`, who alone are killed; `calm`, what leaves broker and runners alive. */
export type Scope = 'all' | 'workers' | 'calm'

/** Mean times between two, in milliseconds. */
const paces: Readonly<Record<Scope, Readonly<Record<string, number>>>> = {
  all: { killBroker: 4_500, killRunner: 5_000, killWorker: 3_500, stop: 5_000, cut: 4_000, hang: 8_000, fill: 20_000 },
  workers: { killWorker: 1_500 },
  calm: { killWorker: 1_500, stopWorker: 3_000, cut: 2_000, hang: 4_000, fill: 5_000 },
}
const tickMs = 50
/** How often it is a worker whose runner has ended who is hit, if there is one. */
const leftShare = 0.15
/** How long a member works before it is killed. */
const leastUpMs = 1_500
/** In each tick, who has not come up yet, or is stopped, is killed all the same with this probability. */
const killAnyway = 0.01

/** See the head of this file. */
export class Storm {
  readonly weather: Weather
  readonly #stage: Stage
  readonly #chance: Chance
  readonly #filled = new Set<object>()

  constructor(stage: Stage, chance: Chance, weather: Weather) {
    this.#stage = stage
    this.#chance = chance
    this.weather = weather
  }

  /**
   * Blows.
   *
   * @param scope - what may happen
   * @param ms - how long
   */
  async blow(scope: Scope, ms: number): Promise<void> {
    const start = performance.now()
    const end = start + ms
    const due = new Map(Object.entries(paces[scope]).map(([what, pace]) => [what, this.#after(start, pace)]))
    while (performance.now() < end) {
      for (const [what, at] of due) {
        if (performance.now() < at || !this.#happen(what)) continue
        // What comes late does not make all that follows it late.
        due.set(what, this.#after(at, paces[scope][what] ?? Infinity))
      }
      await sleep(tickMs)
    }
  }

  #after(at: number, pace: number): number {
    return at + pace * (0.5 + this.#chance.fraction())
  }

  /** False when nobody was there. */
  #happen(what: string): boolean {
    switch (what) {
      case 'killBroker':
        return this.#kill('broker', this.#stage.broker)
      case 'killRunner':
        return this.#kill('runner', this.#chance.oneOf(this.#stage.runners))
      case 'killWorker':
        return this.#killWorker()
      case 'stop':
        return this.#stop()
      case 'stopWorker':
        return this.#stopWorker('short', this.#chance.between(100, pingMs))
      case 'cut':
        return this.#count('cut', this.#chance.oneOf(this.#stage.proxies)?.cut(this.#chance.happens(0.3) ? 1 : 0.3))
      case 'hang':
        return this.#count('halfOpen', this.#chance.oneOf(this.#stage.proxies)?.hang(0.4))
      default:
        return this.#fill()
    }
  }

  #kill(kind: 'broker' | 'runner', member: Member | undefined): boolean {
    if (member === undefined) return false
    // Mostly: or on a busy machine nobody would ever come up, and nobody would be stopped for longer than the grace.
    const isSpared = member.isStopped || member.readyMs < leastUpMs
    if (isSpared && !this.#chance.happens(killAnyway)) return false
    this.#stage.census.look()
    if (!member.kill()) return false
    this.weather.kills[kind] += 1
    return true
  }

  #worker(): ProcessFacts | undefined {
    const { census, members } = this.#stage
    const left = this.#chance.happens(leftShare) ? census.leftWorkers(members.flatMap(({ pid }) => pid ?? [])) : []
    if (left.length > 0) return this.#chance.oneOf(left)
    const pid = this.#chance.oneOf(this.#stage.runners)?.pid
    return pid === undefined ? undefined : this.#chance.oneOf(this.#stage.census.workersOf(pid))
  }

  #killWorker(): boolean {
    const worker = this.#worker()
    if (worker === undefined) return false
    this.#stage.census.look()
    if (!this.#hit(worker, 'SIGKILL')) return false
    this.weather.kills.worker += 1
    return true
  }

  /** It is in the ledger before it happens. */
  #hit(worker: ProcessFacts, name: NodeJS.Signals): boolean {
    this.#stage.noteHit(worker, name)
    return signal(worker, name)
  }

  #stop(): boolean {
    const [length, ms] = this.#drawStop()
    const kind =
      this.#chance.oneOf(['broker', 'runner', 'runner', 'runner', 'worker', 'worker', 'worker'] as const) ?? 'broker'
    if (kind === 'worker') return this.#stopWorker(length, ms)
    const member = kind === 'broker' ? this.#stage.broker : this.#chance.oneOf(this.#stage.runners)
    if (member?.stop(ms) !== true) return false
    this.weather.stops[kind][length] += 1
    return true
  }

  #drawStop(): [Length, number] {
    const draw = this.#chance.fraction()
    if (draw < 0.6) return ['short', this.#chance.between(50, 2 * pingMs)]
    if (draw < 0.92) return ['silent', this.#chance.between(3 * pingMs, 6 * pingMs)]
    return ['gone', this.#chance.between(partitionGraceMs + 2 * pingMs, partitionGraceMs + 5 * pingMs)]
  }

  #stopWorker(length: Length, ms: number): boolean {
    const worker = this.#worker()
    if (worker === undefined || !this.#hit(worker, 'SIGSTOP')) return false
    this.weather.stops.worker[length] += 1
    void sleep(ms).then(() => signal(worker, 'SIGCONT'))
    return true
  }

  #count(what: 'cut' | 'halfOpen', connections = 0): boolean {
    this.weather.connections[what] += connections
    return connections > 0
  }

  #fill(): boolean {
    const disk = this.#chance.oneOf(this.#stage.disks)
    // A machine on which none can be mounted has no such weather.
    if (disk === undefined) return true
    if (this.#filled.has(disk)) return false
    const isFull = this.#chance.happens(0.5)
    disk.fill(isFull ? 0 : 32)
    this.weather.disks[isFull ? 'full' : 'low'] += 1
    this.#filled.add(disk)
    void sleep(this.#chance.between(500, 3_000)).then(() => {
      this.#filled.delete(disk)
      disk.empty()
    })
    return true
  }
}

/** Signals this very process, and no later one with its id. */
function signal({ pid, stamp }: ProcessFacts, name: NodeJS.Signals): boolean {
  if (!isAlive(pid, stamp)) return false
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}
