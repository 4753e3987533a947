/** What goes wrong. */
import type { Chance } from './chance.ts'
import type { CommitOutcome } from './disk.ts'
import type { Generation, World } from './world.ts'

/** Everything that may happen, as often as it stands here. */
const kinds = [
  'kill worker',
  'kill worker',
  'kill broker',
  'kill broker',
  'cut worker',
  'cut worker',
  'cut runner',
  'blip worker',
  'blip runner',
  'slow',
  'live drop',
  'live twice',
  'live late',
  'commit',
  'commit',
  'full',
  'suspend worker',
  'sleep',
  'refuse spawn',
] as const
/** Since the runner dies, too. */
const deaths = ['kill runner', 'kill runner', 'kill runner', 'power cut'] as const
/** Since there are queues. */
const losses = ['kill consumer', 'kill consumer', 'cut queue', 'blip queue', 'two days'] as const
/** Since runs are detached. */
const partings = ['part detached', 'part detached'] as const
type Kind = (typeof kinds | typeof deaths | typeof losses | typeof partings)[number]
const drawn: Readonly<Record<Generation, readonly [Kind, ...Kind[]]>> = {
  1: kinds,
  2: [...kinds, ...deaths],
  3: [...kinds, ...deaths, ...losses],
  4: [...kinds, ...deaths, ...losses, ...partings],
  5: [...kinds, ...deaths, ...losses, ...partings],
  6: [...kinds, ...deaths, ...losses, ...partings],
  7: [...kinds, ...deaths, ...losses, ...partings],
  8: [...kinds, ...deaths, ...losses, ...partings],
  9: [...kinds, ...deaths, ...losses, ...partings],
}

/** In so many turns an answer is on its way through the network. */
const answerTurns = 6

/** Lets things go wrong, and, where they do not end by themselves, ends them again. */
export class Harm {
  /** What went wrong so far. */
  readonly happened: string[] = []
  readonly #world: World
  readonly #chance: Chance
  #sleepMs = 0
  /** How long the machine slept so far, in virtual milliseconds. */
  sleptMs = 0
  #isOver = false
  /** The runner dies as soon as so many outcomes more were told; 0: it does not. */
  #toldUntilDeath: number
  /** The same for the broker, and assignments that it takes back. */
  #withdrawnUntilDeath: number

  /** The same for the runner, and questions and decisions that it records. */
  #askedUntilDeath: number

  /** The same for the runner, and perhaps the broker, and suspensions that it records. */
  #suspendedUntilDeath: number

  constructor(world: World, chance: Chance) {
    this.#world = world
    this.#chance = chance
    this.#toldUntilDeath = world.generation >= 4 && chance.happens(0.4) ? chance.between(1, 6) : 0
    this.#askedUntilDeath = world.generation >= 6 && chance.happens(0.4) ? chance.between(1, 8) : 0
    this.#withdrawnUntilDeath = world.generation >= 5 && chance.happens(0.4) ? chance.between(1, 3) : 0
    this.#suspendedUntilDeath = world.generation >= 7 && chance.happens(0.5) ? chance.between(1, 6) : 0
  }

  /** A caller has an outcome: it must outlast this very moment. */
  told(): void {
    if (this.#isOver || this.#toldUntilDeath === 0) return
    this.#toldUntilDeath -= 1
    if (this.#toldUntilDeath > 0) return
    this.#note('kill runner as it tells')
    this.#world.killRunner('with workers', this.#absence())
  }

  /** The broker takes an assignment back: nobody may hear of it before that is on its disk. */
  withdrawing(): void {
    if (this.#isOver || this.#withdrawnUntilDeath === 0) return
    this.#withdrawnUntilDeath -= 1
    if (this.#withdrawnUntilDeath > 0) return
    const { brokerDisk, clock } = this.#world
    this.#note('kill broker as it withdraws')
    brokerDisk.slow(2 * answerTurns)
    const after = (turns: number): void => clock.defer(() => (turns > 0 ? after(turns - 1) : this.#killBroker()))
    after(answerTurns)
  }

  /** The runner records what is asked, or what is decided: nobody may be shown it before that is on its disk. */
  asking(): void {
    if (this.#isOver || this.#askedUntilDeath === 0) return
    this.#askedUntilDeath -= 1
    if (this.#askedUntilDeath > 0) return
    const { runnerDisk, clock } = this.#world
    this.#note('kill runner as it is asked')
    runnerDisk.slow(2 * answerTurns)
    const turns = this.#chance.one([1, answerTurns, 2 * answerTurns + 1, 4 * answerTurns])
    const after = (left: number): void => clock.defer(() => (left > 0 ? after(left - 1) : this.#killRunner()))
    after(turns)
  }

  /** The runner records that a run is suspended: whoever it waits for may end at this very moment. */
  suspending(): void {
    if (this.#isOver || this.#suspendedUntilDeath === 0) return
    this.#suspendedUntilDeath -= 1
    if (this.#suspendedUntilDeath > 0) return
    const { runnerDisk, clock } = this.#world
    this.#note('kill runner as it suspends')
    runnerDisk.slow(this.#chance.one([0, 2 * answerTurns]))
    const withBroker = this.#chance.happens(0.5)
    const kill = (): void => {
      this.#killRunner()
      if (withBroker) this.#killBroker()
    }
    clock.timer(this.#chance.one([0, 0, 20, 500, 4_000]), kill)
  }

  /** Something goes wrong now. */
  strike(): void {
    if (this.#isOver) return
    const kind = this.#chance.one(drawn[this.#world.generation])
    this.#note(kind)
    this.#do(kind)
  }

  #note(what: string): void {
    this.happened.push(what)
    this.#world.trace.add(`FAULT ${what}`)
  }

  /** The machine sleeps, when it was told to: all time passes before anything notices. */
  sleep(): void {
    if (this.#sleepMs === 0) return
    this.#world.trace.add(`the machine slept for ${this.#sleepMs} ms`)
    this.sleptMs += this.#sleepMs
    this.#world.clock.suspend(this.#sleepMs, { quietly: this.#chance.happens(0.5) })
    this.#sleepMs = 0
  }

  /** From now on nothing goes wrong, and all that did is over. */
  async end(): Promise<void> {
    const { network, live, brokerDisk, runnerDisk, living } = this.#world
    this.#isOver = true
    this.#sleepMs = 0
    this.#world.refusals = 0
    brokerDisk.calm()
    runnerDisk.calm()
    live.calm()
    for (const worker of living) worker.resume()
    network.calm()
    if (!this.#world.isBrokerUp) await this.#world.startBroker()
    this.#world.startRunner()
    this.#world.queues?.calm()
  }

  #do(kind: Kind): void {
    const { clock, network, live } = this.#world
    const runner = this.#world.life?.host ?? 'runner'
    const chance = this.#chance
    const worker = chance.oneOf(this.#world.living)
    switch (kind) {
      case 'kill worker':
        return worker?.kill()
      case 'kill broker':
        return this.#killBroker()
      case 'kill runner':
        return this.#killRunner()
      case 'power cut':
        return this.#cutPower()
      case 'kill consumer':
        return this.#world.queues?.killConsumer()
      case 'cut queue':
        return this.#cutQueue()
      case 'blip queue':
        return network.blip(chance.oneOf(this.#world.queues?.hosts ?? []) ?? '')
      case 'two days':
        this.#sleepMs = 2 * 24 * 3_600_000
        return
      case 'part detached':
        return this.#partDetached()
      case 'cut worker':
        return worker?.cut(this.#duration())
      case 'cut runner':
        network.cut(runner)
        clock.timer(this.#duration(), () => network.restore(runner))
        return
      case 'blip worker':
        return worker === undefined ? undefined : network.blip(worker.address)
      case 'blip runner':
        return network.blip(runner)
      case 'slow':
        return network.slow(chance.happens(0.5) ? runner : (worker?.address ?? runner), this.#duration())
      case 'live drop':
        return live.spoil('drop', chance.between(1, 4), 0)
      case 'live twice':
        return live.spoil('twice', chance.between(1, 4), 0)
      case 'live late':
        return live.spoil('late', 1, chance.one([10, 300, 3_000, 12_000]))
      case 'commit':
        return this.#spoilCommits()
      case 'full':
        return this.#fillDisk()
      case 'suspend worker':
        worker?.suspend()
        clock.timer(this.#duration(), () => worker?.resume())
        return
      case 'sleep':
        this.#sleepMs = chance.one([2_000, 40_000, 3_600_000])
        return
      case 'refuse spawn':
        this.#world.refusals += chance.between(1, 2)
    }
  }

  #killBroker(): void {
    const world = this.#world
    if (!world.isBrokerUp) return
    world.killBroker()
    const restart = (): void => {
      if (!world.isBrokerUp) void world.startBroker()
    }
    world.clock.timer(this.#chance.one([0, 10, 1_000, 25_000]), restart)
  }

  /** Perhaps again and again: also while it starts and resumes. */
  #killRunner(): void {
    const chance = this.#chance
    this.#world.killRunner(chance.happens(0.8) ? 'alone' : 'with workers', this.#absence())
    if (chance.happens(0.4)) this.#world.seams.hasten(chance.between(1, 40))
  }

  /** Of the runner's machine; the broker is perhaps on the same. */
  #cutPower(): void {
    this.#world.killRunner('with workers', this.#absence())
    if (this.#chance.happens(0.4)) this.#killBroker()
  }

  #cutQueue(): void {
    const { network, clock, queues } = this.#world
    const host = this.#chance.oneOf(queues?.hosts ?? []) ?? ''
    network.cut(host)
    clock.timer(this.#duration(), () => network.restore(host))
  }

  /** A detached worker and its runner lose each other, the one for longer than the grace. */
  #partDetached(): void {
    const chance = this.#chance
    const worker = chance.oneOf(this.#world.detached)
    if (worker === undefined) return
    worker.cut(chance.one([20_000, 60_000, 90_000]))
    if (chance.happens(0.7)) this.#world.killRunner('alone', this.#absence())
  }

  #absence(): number {
    return this.#chance.one([0, 10, 500, 3_000, 40_000])
  }

  #spoilCommits(): void {
    const { brokerDisk, runnerDisk } = this.#world
    const outcomes: readonly [CommitOutcome, ...CommitOutcome[]] = ['fails', 'lies', 'limbo', 'full']
    this.#chance.one([brokerDisk, runnerDisk]).spoil(this.#chance.one(outcomes), this.#chance.between(1, 3))
  }

  #fillDisk(): void {
    const disk = this.#chance.one([this.#world.brokerDisk, this.#world.runnerDisk])
    disk.full(true)
    this.#world.clock.timer(this.#duration(), () => disk.full(false))
  }

  #duration(): number {
    return this.#chance.one([0, 10, 100, 300, 1_000, 3_000, 6_000, 12_000, 25_000, 45_000])
  }
}
