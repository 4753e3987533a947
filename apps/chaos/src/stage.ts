/**
 * The stage: one broker, runners that reach it through a proxy each and one that has a broker of its own, the disks that
 * they write to, and the ledgers, which are elsewhere.
 */
import { connectOperator } from '@greenroom/bus'
import { createFaultyProxy, type FaultyProxy } from '@greenroom/bus/testing'
import { closeSync, mkdirSync, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { brokenName, type Break } from './broken.ts'
import { Census, markName } from './census.ts'
import type { Chance } from './chance.ts'
import { folderName } from './execution.ts'
import {
  append,
  machineMs,
  readHits,
  readRunnerLedger,
  readWorkLedger,
  type HitLine,
  type RunnerLine,
  type WorkLine,
} from './ledger.ts'
import { Member } from './member.ts'
import type { ProcessFacts } from './processes.ts'
import type { BrokerSetup, RunnerSetup } from './setup.ts'
import { SmallDisk } from './small-disk.ts'

/** How a stage is to be. */
export interface StageOptions {
  /** An empty folder. */
  readonly folder: string
  readonly seed: number
  readonly broken: readonly Break[]
  readonly chance: Chance
}

/** The broker asks for a sign of life this often, in milliseconds: two silent ones cut a connection. */
export const pingMs = 1_000
/** How long who is cut off may come back, in milliseconds. */
export const partitionGraceMs = 10_000
/** Large enough for the reserve of 64 MiB, and for all that is written in an hour. */
const diskMiB = 320
const token = 'a-token-for-chaos-only'
const operatorToken = 'another-for-its-operator'
const names = ['one', 'two', 'three', 'alone']
const lanes = 5

/** See the head of this file. */
export class Stage implements AsyncDisposable {
  readonly census: Census
  readonly broker: Member
  readonly runners: readonly Member[]
  readonly proxies: readonly FaultyProxy[]
  /** Those that could be mounted. */
  readonly disks: readonly SmallDisk[]
  readonly #folder: string
  readonly #log: number
  readonly #socket: string

  private constructor({ folder, seed, broken, chance }: StageOptions, proxies: readonly FaultyProxy[]) {
    this.#folder = folder
    this.#socket = socketIn(folder)
    this.#log = openSync(join(folder, 'log'), 'a')
    this.census = new Census(folder)
    this.proxies = proxies
    const [brokerDir, runnerDir] = [join(folder, 'broker'), join(folder, 'runners')]
    this.disks = [SmallDisk.mount(brokerDir, diskMiB), SmallDisk.mount(runnerDir, diskMiB)].filter(
      (disk) => disk !== undefined,
    )
    for (const name of ['ledgers', 'executions']) mkdirSync(join(folder, name))
    const env = {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      TMPDIR: temporary(folder),
      [markName]: this.census.mark,
      [folderName]: join(folder, 'executions'),
      [brokenName]: broken.join(','),
    }
    const awayMs = (): number => chance.between(0, 1_000)
    const common = { env, log: this.#log, awayMs }
    const brokerSetup: BrokerSetup = {
      dir: join(brokerDir, 'data'),
      socket: this.#socket,
      token,
      operatorToken,
      pingMs,
      partitionGraceMs,
    }
    this.broker = new Member({ ...common, name: 'broker', program: 'broker-program', setup: brokerSetup })
    this.runners = names.map((name, index) => {
      const proxy = proxies[index]
      const setup: RunnerSetup = {
        name,
        // Some of them share the disk that is full now and then.
        dataDir: join(index % 2 === 0 ? runnerDir : folder, name),
        bus: proxy === undefined ? null : { url: proxy.url, token },
        ledger: ledgerIn(folder, name),
        seed: seed * names.length + index,
        partitionGraceMs,
        lanes,
      }
      return new Member({ ...common, name, program: 'runner-program', setup })
    })
  }

  /** Makes one, and starts all its processes. */
  static async open(options: StageOptions): Promise<Stage> {
    // Also this process's own sockets: what is left in that folder was forgotten.
    process.env['TMPDIR'] = temporary(options.folder)
    mkdirSync(temporary(options.folder))
    const target = `ws+unix://${socketIn(options.folder)}`
    const proxies = await Promise.all(
      names.slice(1).map((_, index) => createFaultyProxy({ target, seed: options.seed + index, failBytes: Infinity })),
    )
    const stage = new Stage(options, proxies)
    for (const member of stage.members) member.start()
    return stage
  }

  /** The broker and the runners. */
  get members(): readonly Member[] {
    return [this.broker, ...this.runners]
  }

  /** What the runners appended, of all their lives. */
  ledgers(): RunnerLine[][] {
    return names.map((name) => readRunnerLedger(ledgerIn(this.#folder, name)))
  }

  /** What the workers appended about a job. */
  readonly workOf = (job: string): WorkLine[] => readWorkLedger(join(this.#folder, 'executions', `${job}.jsonl`))

  /** Appends that a worker is killed or stopped. */
  noteHit({ pid, stamp }: ProcessFacts, name: string): void {
    append(hitsIn(this.#folder), { t: 'hit', pid, stamp, signal: name, at: machineMs() })
  }

  /** The workers that were killed or stopped. */
  hits(): HitLine[] {
    return readHits(hitsIn(this.#folder))
  }

  /**
   * Waits until all members are there.
   *
   * @param deadlineMs - how long at most
   * @returns who is not
   */
  up(deadlineMs: number): Promise<string[]> {
    return missing(deadlineMs, () => this.members.filter(({ isReady }) => !isReady).map(({ name }) => name))
  }

  /**
   * Kills every runner for the last time, while a detached run executes, if it can have one; they have to work.
   *
   * @param deadlineMs - how long they are waited for at most
   */
  async killRunners(deadlineMs: number): Promise<void> {
    await Promise.all(
      this.runners.map(async (runner, index) => {
        const hasBroker = index >= this.proxies.length
        await missing(deadlineMs, () => (hasBroker || runner.state?.detached ? [] : [runner.name]))
        runner.order('rest')
        runner.kill()
      }),
    )
  }

  /** Ends all that is wrong: whoever is stopped goes on, disks have room, connections stay. */
  calm(): void {
    for (const member of this.members) member.continue()
    for (const disk of this.disks) disk.empty()
  }

  /**
   * Waits until all members are there and nothing is in progress; the runners have to rest.
   *
   * @param deadlineMs - how long at most
   * @returns what is in progress still, in words
   */
  async quiet(deadlineMs: number): Promise<string[]> {
    const busy = await missing(deadlineMs, () =>
      this.members.flatMap((member) => busyIn(member, member === this.broker)),
    )
    // The last connections close.
    if (busy.length === 0) await sleep(pingMs)
    return busy
  }

  /** What the broker still has, in words. */
  async leftAtBroker(): Promise<string[]> {
    await using operator = await connectOperator({ url: `ws+unix://${this.#socket}`, token: operatorToken })
    const mailboxes = (await operator.mailboxes()).filter(({ messages }) => messages > 0)
    const letters = await operator.deadLetters()
    return [
      ...mailboxes.map((mailbox) => `mailbox ${JSON.stringify(mailbox)}`),
      ...letters.map((letter) => `dead letter ${JSON.stringify(letter)}`),
    ]
  }

  /** What is left in the folder for temporary files, when all has ended and the proxies are closed. */
  leftInTemporary(): string[] {
    return [...readdirSync(temporary(this.#folder)), ...readdirSync(this.#folder).filter((name) => name === 'bus.sock')]
  }

  async closeProxies(): Promise<void> {
    for (const proxy of this.proxies) await proxy.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const member of this.members) await member.end('SIGTERM', 0)
    await this.closeProxies()
    for (const disk of this.disks) disk[Symbol.dispose]()
    closeSync(this.#log)
  }
}

/** Waits until nothing is missing, or the deadline is over: then it is what is missing. */
async function missing(deadlineMs: number, look: () => string[]): Promise<string[]> {
  const end = performance.now() + deadlineMs
  for (;;) {
    const what = look()
    if (what.length === 0 || performance.now() > end) return what
    await sleep(50)
  }
}

const socketIn = (folder: string): string => join(folder, 'bus.sock')
const temporary = (folder: string): string => join(folder, 'tmp')
const hitsIn = (folder: string): string => join(folder, 'ledgers', 'storm.jsonl')
const ledgerIn = (folder: string, name: string): string => join(folder, 'ledgers', `${name}.jsonl`)

function busyIn({ name, isReady, state }: Member, isBroker: boolean): string[] {
  if (!isReady) return [`${name} is away`]
  if (isBroker) return []
  if (state === undefined) return [`${name} says nothing`]
  const { jobs, runs, processes } = state
  return jobs + runs + processes === 0 ? [] : [`${name}: ${jobs} jobs, ${runs} runs, ${processes} processes`]
}
