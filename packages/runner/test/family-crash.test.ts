/** Trees of runs whose runner and broker are killed, in processes of their own. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { createRunner, type AnyRunner } from '../src/index.ts'
import { familyRoles, familyWorker } from './fixtures/family-roles.ts'
import { temporaryFolder, until } from './fixtures/setup.ts'

const execArgv = ['--conditions=@greenroom/source']

interface Stage extends AsyncDisposable {
  /** Which children began, in order. */
  begun(): string[]
  /** Lets the children end. */
  openGate(): void
  /** A runner and its broker in processes of their own, killed when that has come about. */
  killed(when: () => Promise<unknown>): Promise<void>
  /** The next life of both. */
  life(): Promise<AnyRunner>
}

function stage(): Stage {
  const stack = new AsyncDisposableStack()
  const folder = stack.use(temporaryFolder())
  const [dataDir, socket, ledger, gate] = ['data', 'bus.sock', 'ledger', 'gate'].map((name) => join(folder.path, name))
  const start = async (program: string, args: readonly string[]) => {
    const child = fork(new URL(`fixtures/${program}`, import.meta.url), args, { execArgv })
    stack.defer(() => void child.kill('SIGKILL'))
    await once(child, 'message')
    return child
  }
  const openBroker = () => start('broker.ts', [join(folder.path, 'broker'), String(socket)])
  const url = `ws+unix:${socket}`
  return {
    begun: () => (existsSync(String(ledger)) ? readFileSync(String(ledger), 'utf8').trimEnd().split('\n') : []),
    openGate: () => writeFileSync(String(gate), ''),
    async killed(when) {
      const broker = await openBroker()
      const order = (name: string) => ({ do: 'gate', name, ledger, gate })
      const input = { children: ['a', 'b', 'c'].map(order) }
      const program = await start('family-program.ts', [String(dataDir), url, JSON.stringify(input)])
      await when()
      for (const one of [program, broker]) {
        one.kill('SIGKILL')
        if (one.exitCode === null && one.signalCode === null) await once(one, 'exit')
      }
    },
    async life() {
      await openBroker()
      const runner = await createRunner({
        worker: familyWorker,
        roles: familyRoles,
        dataDir: String(dataDir),
        bus: { url, token: 'a-token-of-some-length' },
        admission: { maxExecuting: 1 },
        quiet: true,
        logger: { warn: () => undefined, output: () => undefined },
      })
      stack.defer(() => runner.close())
      return runner
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

test(
  'a suspended parent goes on with its three outcomes when runner and broker are killed amid its children',
  { timeout: 60_000 },
  async () => {
    await using it = stage()
    await it.killed(() => until(() => it.begun().length === 1))
    const runner = await it.life()
    const runs = await runner.resume()
    const parent = runs.find((run) => run.status().role === 'patient')
    it.openGate()
    const outcome = await parent?.outcome
    // With one permit one child was at work; the other two waited for its end.
    expect(outcome).toMatchObject({ status: 'completed', text: '2' })
    const session = await runner.sessions.messages(parent?.status().session ?? '')
    // The one at work ends with its runner, or is done before it has noticed.
    expect(session.at(-1)?.content).toMatch(/^round 2: 1\.0 (failed|completed), 1\.1 completed, 1\.2 completed$/)
    // Those that waited have no order in the next life.
    expect(it.begun().toSorted()).toEqual(['a', 'b', 'c'])
    expect(runner.stats()).toMatchObject({ executing: 0, queued: 0, runs: [] })
  },
)

/** Of what was in a worker's hands nobody knows, or its worker said that it stopped; its children end with it. */
const expected = /^(completed|cancelled|OUTCOME_UNKNOWN|WORKER_LOST)$/

test('whenever they are killed nothing runs twice, and no wake is lost', { timeout: 240_000 }, async () => {
  for (let afterMs = 0; afterMs < 900; afterMs += 90) {
    await using it = stage()
    it.openGate()
    await it.killed(() => sleep(afterMs))
    const runner = await it.life()
    const outcomes = await Promise.all((await runner.resume()).map((run) => run.outcome))
    const unexpected = outcomes.filter((outcome) => !(codeOf(outcome) ?? outcome.status).match(expected))
    expect(unexpected, `killed after ${afterMs} ms`).toEqual([])
    const begun = it.begun()
    expect(new Set(begun).size, `killed after ${afterMs} ms`).toBe(begun.length)
    expect(runner.stats()).toMatchObject({ executing: 0, queued: 0, runs: [] })
  }
})
