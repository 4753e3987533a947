/** A worker's loop and a runner double on one bus in memory. */
import { createMemoryBus, type MemoryBus } from '@greenroom/bus'
import { spawnGuarded, type GuardedProcess } from '@greenroom/bus/process'
import { systemClock, type Bus, type Clock, type Provision } from '@greenroom/proto'
import type { Executors } from '../executor.ts'
import { startWorker, type Worker } from '../worker.ts'
import { RunnerDouble, type DoubleRun, type DoubleSpec } from './runner-double.ts'

/** What may differ from bench to bench. */
export interface BenchOptions extends Partial<Omit<Provision, 'version' | 'bus' | 'executors'>> {
  readonly clock?: Clock
  /** Puts something between the worker and the bus. */
  readonly between?: (bus: Bus) => Bus
  /** The memory that the worker's process seems to have. */
  readonly rssMb?: () => number
}

/** See {@link openBench}. */
export interface Bench extends AsyncDisposable {
  readonly bus: MemoryBus
  readonly worker: Worker
  readonly runner: RunnerDouble
  /** The worker's mailbox. */
  readonly address: string
  /** What the worker logged. */
  readonly log: readonly string[]
  /** Every program that was started. */
  readonly programs: readonly GuardedProcess[]
  /** Sends a run to the worker. */
  run(spec: DoubleSpec, options?: { readonly reading?: boolean }): Promise<DoubleRun>
}

/**
 * Opens a bench.
 *
 * @param executors - what the worker serves
 * @param options - what it is provisioned with
 */
export async function openBench(
  executors: Executors,
  { clock = systemClock, between = (bus) => bus, rssMb, ...provision }: BenchOptions = {},
): Promise<Bench> {
  const bus = createMemoryBus({ clock })
  const address = provision.address ?? 'worker.bench'
  const log: string[] = []
  const programs: GuardedProcess[] = []
  const worker = await startWorker({
    bus: between(bus.client()),
    executors,
    clock,
    provision: {
      incarnation: 'bench',
      role: 'bench',
      cancelGraceMs: 1_000,
      ...provision,
      version: 1,
      bus: { url: 'ws://unused', token: '' },
      address,
      executors: Object.keys(executors),
    },
    platform: {
      ...(rssMb === undefined ? {} : { rssMb }),
      env: { PATH: process.env['PATH'] },
      log: (line) => log.push(line),
      spawn: (options) => {
        const program = spawnGuarded(options)
        programs.push(program)
        return program
      },
    },
  })
  const runner = await RunnerDouble.attach(bus)
  const close = async (): Promise<void> => {
    await worker.close()
    await runner[Symbol.asyncDispose]()
    await bus.close()
  }
  return {
    bus,
    worker,
    runner,
    address,
    log,
    programs,
    run: (spec, runOptions) => runner.run(address, spec, runOptions),
    [Symbol.asyncDispose]: close,
  }
}
