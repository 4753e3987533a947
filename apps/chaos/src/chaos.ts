/**
 * One chaos run, from an empty folder to a report.
 *
 * ```text
 * all      work ─► storm ─► quiet ─► count descriptors ─► a storm that broker and runners survive ─► quiet ─► count again
 * workers  work ─► quiet ─► count descriptors ─► storm ─► quiet ─► count again
 *          ─► every runner is killed once more amid detached runs, goes on, and its last life looks into all that it ever did ─► all leave
 *          ─► who and what is left ─► judge
 * ```
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Break } from './broken.ts'
import { Chance } from './chance.ts'
import { judge, type Fault, type Verdict } from './checker.ts'
import { leaksIn, type Descriptors } from './leaks.ts'
import { memoryOptions } from './member.ts'
import { descriptorsOf } from './processes.ts'
import { collectedMiB, growthOf, ResidentWatch, type Residents } from './residents.ts'
import { Stage } from './stage.ts'
import { fairWeather, Storm, type Scope, type Weather } from './storm.ts'

/** What a run is told. */
export interface ChaosOptions {
  readonly minutes: number
  readonly seed: number
  readonly only: 'workers' | undefined
  readonly broken: readonly Break[]
  /** An empty folder. */
  readonly folder: string
  readonly say: (line: string) => void
  /** Ends it at once, with all its processes. */
  readonly signal: AbortSignal
}

/** What must be zero: what the checker counts, and what is left. */
type Counted = Fault | 'hung' | 'orphans' | 'leakedDescriptors' | 'leftBehind' | 'grown'

/** What came of it. */
export interface ChaosReport extends Weather, Readonly<Record<Counted, number>> {
  readonly seed: number
  readonly minutes: number
  readonly only: 'workers' | 'all'
  /** Whether a disk could be mounted that can be full. */
  readonly hasSmallDisks: boolean
  readonly runs: number
  readonly executions: number
  readonly detached: Verdict['detached']
  readonly outcomes: Verdict['outcomes']
  readonly unrecorded: number
  /** How often a member ended though nobody killed it: a runner that lost its place, or found no broker. */
  readonly deaths: Readonly<Record<string, number>>
  /** The median of each minute. */
  readonly residentMiB: Residents
  /** What of the median is no file's: the machine may take back pages of files at any time. */
  readonly anonymousMiB: Residents
  readonly growthPercent: Readonly<Record<string, number>>
  /** With which V8 options the members ran. */
  readonly nodeOptions: string
  /** The first of all that must not be. */
  readonly violations: readonly string[]
}

const upMs = 30_000
const longestWarmUpMs = 5_000
const longestLightStormMs = 15_000
const quietMs = 120_000
const auditMs = 120_000
const detachedMs = 60_000
/** Of a shorter storm there is nothing to say. */
const leastGrowthMs = 6 * 60_000
const mostGrowthPercent = 5
const shownViolations = 100

/**
 * Runs chaos.
 *
 * @param options - see {@link ChaosOptions}
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { folder, seed, broken } = options
  await using stage = await Stage.open({ folder, seed, broken, chance: new Chance(seed, 1) })
  const { promise: stopped, reject } = Promise.withResolvers<never>()
  options.signal.addEventListener('abort', () => reject(options.signal.reason))
  return await Promise.race([new ChaosRun(options, stage).run(), stopped])
}

class ChaosRun {
  readonly #options: ChaosOptions
  readonly #stage: Stage
  readonly #storm: Storm
  readonly #violations: { fault: Counted; text: string }[] = []
  #residentMiB: Residents = {}
  #growthPercent: Record<string, number> = {}
  #anonymousMiB: Residents = {}

  constructor(options: ChaosOptions, stage: Stage) {
    this.#options = options
    this.#stage = stage
    this.#storm = new Storm(stage, new Chance(options.seed, 2), fairWeather())
  }

  async run(): Promise<ChaosReport> {
    const { only, say } = this.#options
    const stormMs = this.#stormMs
    const census = setInterval(() => this.#stage.census.look(), 250)
    const progress = setInterval(() => say(this.#progress()), 10_000)
    try {
      const away = await this.#stage.up(upMs)
      if (away.length > 0) throw new Error(`${away.join(', ')} did not come up: see the log`)
      if (only === undefined) {
        this.#order('work')
        await this.#blow('all', stormMs)
        await this.#compareDescriptors(() => this.#storm.blow('calm', Math.min(longestLightStormMs, stormMs)))
      } else await this.#compareDescriptors(() => this.#blow('workers', stormMs))
      await this.#leave()
    } finally {
      clearInterval(census)
      clearInterval(progress)
    }
    return this.#report()
  }

  /** The storm that counts. */
  async #blow(scope: Scope, ms: number): Promise<void> {
    using all = new ResidentWatch(this.#stage, 'VmRSS')
    using anonymous = new ResidentWatch(this.#stage, 'RssAnon')
    const isCompared = scope === 'workers' && ms >= leastGrowthMs
    await Promise.all([this.#storm.blow(scope, ms), isCompared ? this.#compareMemory(ms) : undefined])
    this.#residentMiB = all.medians
    this.#anonymousMiB = anonymous.medians
  }

  /** From the third of ten minutes to the last, both times while it blows. */
  async #compareMemory(ms: number): Promise<void> {
    await sleep(0.3 * ms)
    const before = await collectedMiB(this.#stage)
    await sleep(0.68 * ms)
    this.#growthPercent = growthOf(before, await collectedMiB(this.#stage))
  }

  get #stormMs(): number {
    return this.#options.minutes * 60_000
  }

  #violate(fault: Counted, texts: readonly string[]): void {
    for (const text of texts) this.#violations.push({ fault, text })
  }

  #order(t: 'work' | 'rest'): void {
    for (const runner of this.#stage.runners) runner.order(t)
  }

  async #quiet(): Promise<void> {
    this.#options.say('waiting until nothing is in progress')
    this.#stage.calm()
    this.#order('rest')
    this.#violate('hung', await this.#stage.quiet(quietMs))
  }

  async #compareDescriptors(storm: () => Promise<void>): Promise<void> {
    await this.#quiet()
    this.#order('work')
    await sleep(Math.min(longestWarmUpMs, this.#stormMs))
    await this.#quiet()
    const before = this.#descriptors()
    this.#order('work')
    await storm()
    await this.#quiet()
    this.#violate('leakedDescriptors', leaksIn(before, this.#descriptors()))
  }

  #descriptors(): Descriptors {
    const counted = this.#stage.members.flatMap(({ name, pid }) => {
      const count = pid === undefined ? undefined : descriptorsOf(pid)
      return pid === undefined || count === undefined ? [] : [[name, { pid, count }] as const]
    })
    return new Map(counted)
  }

  /** A last life of each runner, and then nothing must be left. */
  async #leave(): Promise<void> {
    const { say } = this.#options
    const { runners, broker, census } = this.#stage
    this.#order('work')
    await this.#stage.killRunners(detachedMs)
    // The members notice that by themselves.
    await sleep(100)
    await this.#quiet()
    say('the last lives of the runners look into all that was done')
    const codes = await Promise.all(runners.map((runner) => runner.end('audit', auditMs)))
    codes.forEach((code, index) => {
      if (code !== 0) this.#violate('hung', [`runner ${runners[index]?.name} did not leave in order: ${code}`])
    })
    this.#violate('leftBehind', await this.#stage.leftAtBroker())
    const code = await broker.end('SIGTERM', 10_000)
    if (code !== 0) this.#violate('hung', [`the broker did not leave in order: ${code}`])
    await this.#stage.closeProxies()
    // Guards have two seconds.
    for (let n = 0; n < 30 && census.left().length > 0; n += 1) await sleep(100)
    this.#violate('orphans', census.left())
    census.end()
    this.#violate('leftBehind', this.#stage.leftInTemporary())
  }

  #report(): ChaosReport {
    const { minutes, seed, only } = this.#options
    const { workOf, members, disks } = this.#stage
    const verdict = judge(this.#stage.ledgers(), workOf, this.#stage.hits())
    const growthPercent = this.#growthPercent
    const grown = Object.entries(growthPercent).filter(([, percent]) => percent >= mostGrowthPercent)
    this.#violate(
      'grown',
      grown.map(([name, percent]) => `${name} grew by ${percent} %`),
    )
    const all = [...verdict.violations, ...this.#violations]
    // A disk in memory goes with its mount.
    if (all.length > 0) for (const disk of disks) disk.copy()
    const count = (fault: Counted): number => all.filter((one) => one.fault === fault).length
    return {
      seed,
      minutes,
      only: only ?? 'all',
      hasSmallDisks: disks.length > 0,
      runs: verdict.started,
      executions: verdict.executions,
      detached: verdict.detached,
      outcomes: verdict.outcomes,
      unrecorded: verdict.unrecorded,
      ...this.#storm.weather,
      deaths: Object.fromEntries(members.map(({ name, deaths }) => [name, deaths])),
      lost: count('lost'),
      doubled: count('doubled'),
      overlapping: count('overlapping'),
      disordered: count('disordered'),
      illegitimate: count('illegitimate'),
      hung: count('hung'),
      orphans: count('orphans'),
      leakedDescriptors: count('leakedDescriptors'),
      leftBehind: count('leftBehind'),
      grown: count('grown'),
      residentMiB: this.#residentMiB,
      anonymousMiB: this.#anonymousMiB,
      growthPercent,
      nodeOptions: memoryOptions.join(' '),
      violations: all.slice(0, shownViolations).map(({ fault, text }) => `${fault}: ${text}`),
    }
  }

  #progress(): string {
    const { kills } = this.#storm.weather
    const states = this.#stage.members.map(({ name, isReady, isStopped, state }) => {
      const word = isStopped ? 'stopped' : isReady ? 'up' : 'away'
      return `${name} ${word}${state === undefined ? '' : ` (${state.jobs} jobs)`}`
    })
    return `killed: broker ${kills.broker}, runners ${kills.runner}, workers ${kills.worker}; ${states.join(', ')}`
  }
}
