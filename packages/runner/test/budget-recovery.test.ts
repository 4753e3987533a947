/** Budgets over many lives of a runner: random trees, whose runs and runner are killed at any moment. */
import { createManualClock } from '@greenroom/bus/testing'
import { addUsage, type Budget, type Usage } from '@greenroom/proto'
import { createMemoryStore, type MemoryStore, type Operation } from '@greenroom/store'
import { expect, test } from 'vitest'
import type { BudgetedRun } from '../src/budgeted-run.ts'
import { Budgets } from '../src/budgets.ts'
import { Journal } from '../src/journal.ts'
import { patient } from '../src/persistence.ts'
import { runnerSchema } from '../src/runner-schema.ts'

/** A run as its executor and the runner know it, whoever lives. */
interface Told {
  readonly id: string
  readonly parent: Told | undefined
  readonly budget: Budget
  /** What all of its attempts have told and the journal has. */
  told: Usage
  toldMs: number
  /** What the present attempt has told. */
  live: { usage: Usage; ms: number } | undefined
  isOver: boolean
}

/** The same numbers each time. */
function numbersFrom(seed: number): (below: number) => number {
  let state = seed + 1
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

class World {
  readonly store: MemoryStore = createMemoryStore({ schema: runnerSchema })
  readonly clock = createManualClock()
  readonly runs: Told[] = []
  readonly #random: (below: number) => number
  #budgets!: Budgets
  readonly warnings: string[] = []

  constructor(seed: number) {
    this.#random = numbersFrom(seed)
    this.#begin()
  }

  /** A new life of the runner, which knows what is recorded and nothing else. */
  #begin(): void {
    const journal = new Journal(patient(this.store, this.clock))
    const warn = (message: string): void => void this.warnings.push(message)
    this.#budgets = new Budgets({
      journal: journal.budgets,
      clock: this.clock,
      budget: {},
      given: () => undefined,
      isTimeless: false,
      warn,
    })
  }

  get open(): readonly Told[] {
    return this.runs.filter(({ isOver }) => !isOver)
  }

  budgeted({ id }: Told): BudgetedRun {
    const run = this.#budgets.of(id)
    if (run === undefined) throw new Error(`no budget of ${id}`)
    return run
  }

  async #commit(operations: readonly Operation[]): Promise<void> {
    await this.store.commit(operations)
  }

  async start(parent: Told | undefined): Promise<void> {
    const id = `run-${this.runs.length}`
    const amounts: Budget = { tokens: this.#random(40), spawns: this.#random(4), usd: this.#random(10) / 10 }
    const chosen = Object.entries(amounts).filter(() => this.#random(2) === 0)
    const budget: Budget = parent === undefined ? { tokens: 200, spawns: 30, usd: 5 } : Object.fromEntries(chosen)
    let run: BudgetedRun | undefined
    try {
      run = this.#budgets.open(parent === undefined ? [id] : [parent.id, id], budget)
    } catch {
      return
    }
    await this.#commit(run?.operations ?? [])
    this.runs.push({ id, parent, budget, told: {}, toldMs: 0, live: undefined, isOver: false })
  }

  attempt(told: Told): void {
    const live = { usage: {}, ms: 0 }
    told.live = live
    this.budgeted(told).follow({
      get spent() {
        return { ...live, outputBytes: 0 }
      },
      isExecuting: true,
      counted: () => undefined,
      exceed: () => undefined,
    })
  }

  async spend(told: Told): Promise<void> {
    if (told.live === undefined) return this.attempt(told)
    told.live.usage = addUsage(told.live.usage, { inputTokens: this.#random(5), costUsd: this.#random(5) / 10 })
    told.live.ms += this.#random(100)
    await this.#commit(this.budgeted(told).operations)
  }

  /** Its attempt ends, by itself or by a crash of its worker. */
  #attemptEnds(told: Told): void {
    if (told.live === undefined) return
    told.told = addUsage(told.told, told.live.usage)
    told.toldMs += told.live.ms
    told.live = undefined
  }

  killWorker(told: Told): void {
    this.#attemptEnds(told)
    this.budgeted(told).ended({ ms: told.toldMs, usage: told.told })
  }

  async finish(told: Told): Promise<void> {
    this.#attemptEnds(told)
    const run = this.budgeted(told)
    run.ended({ ms: told.toldMs, usage: told.told })
    await this.#commit(run.settlement(told.told))
    told.isOver = true
    // Killed before it knew.
    if (this.#random(4) === 0) this.kill()
    else run.over(true)
  }

  kill(): void {
    for (const told of this.runs) this.#attemptEnds(told)
    this.#begin()
  }

  /** What a run and its descendants told. */
  toldBelow(told: Told): Required<Budget> {
    const usage = addUsage(told.told, told.live?.usage ?? {})
    const sum = {
      ms: told.toldMs + (told.live?.ms ?? 0),
      tokens: usage.inputTokens ?? 0,
      usd: usage.costUsd ?? 0,
      spawns: 0,
    }
    for (const child of this.runs.filter(({ parent }) => parent === told)) {
      const below = this.toldBelow(child)
      sum.ms += below.ms
      sum.tokens += below.tokens
      sum.usd += below.usd
      sum.spawns += 1 + below.spawns
    }
    return sum
  }

  async step(): Promise<void> {
    const { open } = this
    const one = open[this.#random(open.length)]
    if (one === undefined) return this.start(undefined)
    const draw = this.#random(20)
    if (draw < 6) await this.start(one)
    else if (draw < 14) await this.spend(one)
    else if (draw < 16) this.killWorker(one)
    else if (draw < 18 && one.parent !== undefined) await this.finish(one)
    else if (draw < 19) this.kill()
  }
}

const near = (amounts: Required<Budget>) => ({ ...amounts, usd: Number(amounts.usd.toFixed(6)) })

test('after any kills what is used is what was told, and nothing stays set aside', async () => {
  for (let seed = 0; seed < 60; seed += 1) {
    const world = new World(seed)
    for (let n = 0; n < 60; n += 1) await world.step()
    const [root] = world.runs
    if (root === undefined) throw new Error('nothing was started')
    // In a new life, too.
    if (seed % 2 === 0) world.kill()
    for (const told of world.open) if (told !== root) await world.finish(told)
    const run = world.budgeted(root)
    const charged: Required<Budget> = {
      ms: run.charge('ms'),
      tokens: run.charge('tokens'),
      usd: run.charge('usd'),
      spawns: run.charge('spawns'),
    }
    expect(near(charged), `seed ${seed}`).toEqual(near(world.toldBelow(root)))
    expect(world.warnings).toEqual([])
    await world.finish(root)
    world.kill()
    await world.clock.advance(0)
    expect(world.store.count('budget'), `seed ${seed}`).toBe(0)
  }
})
