/**
 * Approvals in chaos: one broker, one runner behind a proxy, and workers, all real processes; runs ask until so many
 * approvals were asked for, while the storm kills runner, broker and workers and cuts connections. Then all is quiet, the last
 * life of the runner says what is recorded, and the judge judges.
 */
import { connectOperator } from '@greenroom/bus'
import { createFaultyProxy, type FaultyProxy } from '@greenroom/bus/testing'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Census, markName } from '../census.ts'
import { Chance } from '../chance.ts'
import { Member } from '../member.ts'
import type { BrokerSetup } from '../setup.ts'
import { judgeApprovals, type ApprovalFault, type ApprovalVerdict } from './judge.ts'
import { ledgerName, readLines } from './line.ts'

/** What it is told. */
export interface ApprovalRunOptions {
  /** So many at least are asked for. */
  readonly approvals: number
  readonly seed: number
  /** An empty folder. */
  readonly folder: string
  readonly say: (line: string) => void
  /** Ends it at once, with all its processes. */
  readonly signal: AbortSignal
}

type Counted = ApprovalFault | 'hung' | 'orphans' | 'leftBehind'

/** What came of it. */
export interface ApprovalReport extends Omit<ApprovalVerdict, 'violations'>, Readonly<Record<Counted, number>> {
  readonly seed: number
  readonly kills: Readonly<Record<'broker' | 'runner' | 'worker', number>>
  /** Connections that were cut. */
  readonly cuts: number
  /** How often runner and broker ended though nobody killed them. */
  readonly deaths: number
  readonly violations: readonly string[]
}

const [token, operatorToken] = ['a-token-for-chaos-only', 'another-for-its-operator']
const upMs = 60_000
const quietMs = 300_000
/** It strikes after so many approvals, so that a slow machine gets on, too; or after so long. */
const [fewest, most, strikeMs] = [2, 10, 5_000]
/** An approval takes some tenths of a second with all that happens, and the machine may be busy. */
const longestMs = (approvals: number): number => 120_000 + approvals * 1_000
const shownViolations = 50

/**
 * Runs it.
 *
 * @param options - see {@link ApprovalRunOptions}
 */
export async function runApprovals(options: ApprovalRunOptions): Promise<ApprovalReport> {
  const { folder, seed, signal } = options
  process.env['TMPDIR'] = join(folder, 'tmp')
  mkdirSync(join(folder, 'tmp'))
  const target = `ws+unix://${join(folder, 'bus.sock')}`
  await using proxy = await createFaultyProxy({ target, seed, failBytes: 400_000 })
  const { promise: stopped, reject } = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => reject(signal.reason))
  const run = new ApprovalRun(options, proxy)
  try {
    return await Promise.race([run.run(), stopped])
  } finally {
    await run.end()
  }
}

class ApprovalRun {
  readonly #options: ApprovalRunOptions
  readonly #proxy: FaultyProxy
  readonly #chance: Chance
  readonly #census: Census
  readonly #log: number
  readonly #broker: Member
  readonly #runner: Member
  readonly #kills = { broker: 0, runner: 0, worker: 0 }
  #cuts = 0
  /** Approvals to go, as far as is known, and when the runner was killed last. */
  #left: number
  #leftAtKill = Infinity
  readonly #violations: { fault: Counted; text: string }[] = []

  constructor(options: ApprovalRunOptions, proxy: FaultyProxy) {
    const { folder, seed, approvals } = options
    this.#options = options
    this.#left = approvals
    this.#proxy = proxy
    this.#chance = new Chance(seed, 1)
    this.#census = new Census(folder)
    this.#log = openSync(join(folder, 'log'), 'a')
    const env = {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      TMPDIR: join(folder, 'tmp'),
      [markName]: this.#census.mark,
      [ledgerName]: this.#ledger('workers'),
    }
    const common = { env, log: this.#log, awayMs: () => this.#chance.between(0, 500) }
    const brokerSetup: BrokerSetup = {
      dir: join(folder, 'broker'),
      socket: join(folder, 'bus.sock'),
      token,
      operatorToken,
      pingMs: 3_000,
      partitionGraceMs: 10_000,
    }
    const runnerSetup = {
      dataDir: join(folder, 'runner'),
      bus: { url: proxy.url, token },
      ledger: this.#ledger('runner'),
      seed,
      approvals,
      lanes: 6,
    }
    this.#broker = new Member({ ...common, name: 'broker', program: 'broker-program', setup: brokerSetup })
    this.#runner = new Member({ ...common, name: 'runner', program: 'approvals/runner-program', setup: runnerSetup })
  }

  #ledger(name: string): string {
    return join(this.#options.folder, `${name}.jsonl`)
  }

  async run(): Promise<ApprovalReport> {
    const census = setInterval(() => this.#census.look(), 250)
    const progress = setInterval(() => this.#options.say(this.#progress()), 10_000)
    try {
      for (const member of [this.#broker, this.#runner]) member.start()
      if (!(await this.#until(upMs, () => this.#broker.isReady && this.#runner.isReady)))
        throw new Error('broker or runner did not come up: see the log')
      this.#runner.order('work')
      await this.#storm()
      await this.#leave()
    } finally {
      clearInterval(census)
      clearInterval(progress)
    }
    return this.#report()
  }

  /** Ends all processes. */
  async end(): Promise<void> {
    for (const member of [this.#runner, this.#broker]) await member.end('SIGTERM', 0)
    this.#census.end()
    closeSync(this.#log)
  }

  /** Until so many were asked for. */
  async #storm(): Promise<void> {
    const end = performance.now() + longestMs(this.#options.approvals)
    while (this.#runner.state?.jobs !== 0) {
      if (performance.now() > end) return this.#violate('hung', [`it takes too long: ${this.#progress()}`])
      const next = this.#left - this.#chance.between(fewest, most)
      await this.#until(strikeMs, () => this.#look() <= next)
      this.#strike()
    }
  }

  #look(): number {
    this.#left = this.#runner.state?.jobs ?? this.#left
    return this.#left
  }

  #strike(): void {
    const { pid } = this.#runner
    const kind = this.#chance.oneOf(['runner', 'runner', 'broker', 'broker', 'worker', 'cut'] as const)
    if (kind === 'cut' || kind === undefined) {
      this.#cuts += this.#proxy.cut(0.5)
      return
    }
    if (kind === 'worker') {
      const worker = pid === undefined ? undefined : this.#chance.oneOf(this.#census.workersOf(pid))
      if (worker === undefined) return
      this.#census.look()
      process.kill(worker.pid, 'SIGKILL')
    } else {
      const member = kind === 'runner' ? this.#runner : this.#broker
      // A life has to begin before it can be cut off in the middle of something, and to get on.
      const isSoon = !member.isReady || member.readyMs < 1_000 || (!this.#runner.isReady && this.#chance.happens(0.8))
      if (isSoon || (kind === 'runner' && this.#left >= this.#leftAtKill) || !member.kill()) return
      if (kind === 'runner') this.#leftAtKill = this.#left
    }
    this.#kills[kind] += 1
  }

  /** All comes to its end, and nothing must be left. What does not end cannot be judged. */
  async #leave(): Promise<void> {
    this.#proxy.calm()
    this.#runner.order('rest')
    const isQuiet = (): boolean => {
      const { isReady, state } = this.#runner
      return this.#broker.isReady && isReady && state !== undefined && state.runs + state.processes === 0
    }
    if (!(await this.#until(quietMs, isQuiet))) return this.#violate('hung', [`it does not end: ${this.#progress()}`])
    if ((await this.#runner.end('audit', quietMs)) !== 0) this.#violate('hung', ['the runner did not leave in order'])
    this.#violate('leftBehind', await this.#leftAtBroker())
    if ((await this.#broker.end('SIGTERM', 10_000)) !== 0) this.#violate('hung', ['the broker did not leave in order'])
    // Guards have two seconds; a detached worker whose runner could not record it waits for a run for two minutes.
    await this.#until(130_000, () => this.#census.left().length === 0)
    this.#violate('orphans', this.#census.left())
  }

  async #leftAtBroker(): Promise<string[]> {
    const url = `ws+unix://${join(this.#options.folder, 'bus.sock')}`
    await using operator = await connectOperator({ url, token: operatorToken })
    const mailboxes = (await operator.mailboxes()).filter(({ messages }) => messages > 0)
    return mailboxes.map((mailbox) => `mailbox ${JSON.stringify(mailbox)}`)
  }

  async #until(ms: number, isDone: () => boolean): Promise<boolean> {
    const end = performance.now() + ms
    while (!isDone()) {
      if (performance.now() > end) return false
      await sleep(50)
    }
    return true
  }

  #violate(fault: Counted, texts: readonly string[]): void {
    for (const text of texts) this.#violations.push({ fault, text })
  }

  #report(): ApprovalReport {
    const { seed } = this.#options
    const hasEnded = this.#violations.every(({ fault }) => fault !== 'hung')
    const lines = [...readLines(this.#ledger('runner')), ...readLines(this.#ledger('workers'))]
    const { violations, ...verdict } = judgeApprovals(hasEnded ? lines : [])
    const all = [...violations, ...this.#violations]
    const count = (fault: Counted): number => all.filter((one) => one.fault === fault).length
    return {
      seed,
      ...verdict,
      kills: this.#kills,
      cuts: this.#cuts,
      deaths: this.#broker.deaths + this.#runner.deaths,
      undecided: count('undecided'),
      unlike: count('unlike'),
      forged: count('forged'),
      untrue: count('untrue'),
      hung: count('hung'),
      orphans: count('orphans'),
      leftBehind: count('leftBehind'),
      violations: all.slice(0, shownViolations).map(({ fault, text }) => `${fault}: ${text}`),
    }
  }

  #progress(): string {
    const { broker, runner, worker } = this.#kills
    const { state } = this.#runner
    const left = state === undefined ? 'the runner is away' : `${state.jobs} to go, ${state.runs} runs in progress`
    return `${left}; killed: broker ${broker}, runner ${runner}, workers ${worker}; ${this.#cuts} connections cut`
  }
}
