/** A process of the stage: a broker or a runner, which is killed, stopped, and started again. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { processNews, type ProcessNews, type RunnerCommand } from './setup.ts'

/** What a member is made of. */
export interface MemberOptions {
  readonly name: string
  /** Its program, beside this file, without its ending. */
  readonly program: string
  /** What it is told: JSON. */
  readonly setup: object
  readonly env: Readonly<Record<string, string>>
  /** An open file that takes what it writes. */
  readonly log: number
  /** How long it stays away when it has ended, in milliseconds. */
  readonly awayMs: () => number
}

/**
 * V8 lets its young generation grow to 64 MiB under short-lived objects, its old one by half, and gives pages back late:
 * while there is room that is no fault, but it is more than the growth that is to be noticed. With this option it collects
 * as it likes, and holds little more than what is in use.
 */
export const memoryOptions: readonly string[] = ['--optimize-for-size']
const ending = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
const execArgv = [...memoryOptions, '--expose-gc', ...(ending === '.ts' ? ['--conditions=@greenroom/source'] : [])]
/** By the environment: its workers, which have an environment of their own, do without it. */
const withGarbage = { NODE_OPTIONS: `--import ${new URL(`garbage${ending}`, import.meta.url).href}` }

/** See the head of this file. */
export class Member {
  readonly name: string
  /** How often it ended though nobody killed it. */
  deaths = 0
  /** What a runner told of itself last. */
  state: (ProcessNews & { t: 'state' }) | undefined
  readonly #options: MemberOptions
  #child: ChildProcess | undefined
  #order: RunnerCommand | undefined
  #readyAt: number | undefined
  #isKilled = false
  #isEnding = false
  #stopped: AbortController | undefined

  constructor(options: MemberOptions) {
    this.#options = options
    this.name = options.name
  }

  /** Its process; undefined while it is away. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Whether it is there and works. */
  get isReady(): boolean {
    return this.#readyAt !== undefined
  }

  /** For how long it has been ready, in milliseconds. */
  get readyMs(): number {
    return this.#readyAt === undefined ? 0 : performance.now() - this.#readyAt
  }

  /** Whether it is stopped. */
  get isStopped(): boolean {
    return this.#stopped !== undefined
  }

  /** Starts it, now and whenever it has ended. */
  start(): void {
    if (this.#isEnding) return
    const { program, setup, env, log } = this.#options
    const file = fileURLToPath(new URL(`./${program}${ending}`, import.meta.url))
    const child = fork(file, [JSON.stringify(setup)], {
      execArgv,
      env: { ...env, ...withGarbage },
      stdio: ['ignore', log, log, 'ipc'],
    })
    this.#child = child
    child.on('error', (error) => {
      throw error
    })
    child.on('message', (message) => this.#hear(processNews.parse(message)))
    child.once('exit', () => {
      if (!this.#isKilled && !this.#isEnding) this.deaths += 1
      this.#child = undefined
      this.#readyAt = undefined
      this.#isKilled = false
      this.state = undefined
      this.#stopped?.abort()
      setTimeout(() => this.start(), this.#options.awayMs())
    })
  }

  #hear(news: ProcessNews): void {
    if (news.t === 'state') this.state = news
    else {
      this.#readyAt = performance.now()
      if (this.#order !== undefined) this.#send(this.#order)
    }
  }

  /** Tells it what to do, this life and every later one. */
  order(t: 'work' | 'rest'): void {
    this.#order = { t }
    this.state = undefined
    this.#send(this.#order)
  }

  #send(command: RunnerCommand): void {
    // It may have ended just now: its next life is told anew.
    if (this.#child?.connected === true) this.#child.send(command, () => undefined)
  }

  /** `kill -9`; false when it is away. */
  kill(): boolean {
    if (this.#child === undefined || this.#isKilled) return false
    this.#isKilled = true
    return this.#child.kill('SIGKILL')
  }

  /** Stops it for a while; false when it is away, or stopped already. */
  stop(ms: number): boolean {
    const child = this.#child
    if (child === undefined || this.#isKilled || this.#stopped !== undefined) return false
    child.kill('SIGSTOP')
    const stopped = new AbortController()
    this.#stopped = stopped
    void sleep(ms, undefined, { signal: stopped.signal })
      .catch(() => undefined)
      .then(() => {
        child.kill('SIGCONT')
        this.#stopped = undefined
      })
    return true
  }

  /** Lets it go on now. */
  continue(): void {
    this.#stopped?.abort()
  }

  /**
   * Ends it in order, for good.
   *
   * @param how - what a runner is told; a broker gets TERM
   * @param deadlineMs - then it is killed
   * @returns how it ended; undefined when it had to be killed
   */
  async end(how: 'leave' | 'audit' | 'SIGTERM', deadlineMs: number): Promise<number | null | undefined> {
    this.#isEnding = true
    const child = this.#child
    if (child === undefined) return undefined
    const exited = once(child, 'exit')
    if (how === 'SIGTERM') child.kill('SIGTERM')
    else this.#send({ t: how })
    const late = new AbortController()
    const isOver = await Promise.race([
      exited.then(() => true),
      sleep(deadlineMs, false, { signal: late.signal }).catch(() => false),
    ])
    late.abort()
    if (isOver) return child.exitCode
    child.kill('SIGKILL')
    await exited
    return undefined
  }
}
