/** Runs that waited when their runner was killed wait in the same order in its next life. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { temporaryFolder, testRunner } from './fixtures/setup.ts'

test(
  'what was queued when the runner was killed is done in the order in which it was started',
  { timeout: 60_000 },
  async () => {
    using folder = temporaryFolder()
    const program = fork(new URL('fixtures/queueing-program.ts', import.meta.url), [folder.path], {
      execArgv: ['--conditions=@greenroom/source'],
    })
    const exited = once(program, 'exit')
    const [ids]: unknown[] = await Promise.race([once(program, 'message'), exited])
    program.kill('SIGKILL')
    await exited
    await using runner = await testRunner({ dataDir: folder.path, admission: { maxExecuting: 1 } })
    const ended: string[] = []
    const note = (id: string): void => void ended.push(id)
    const runs = await runner.resume()
    for (const run of runs.filter((one) => one.status().role === 'echo'))
      void run.outcome.then(({ status }) => note(status === 'completed' ? run.id : status))
    await Promise.all(runs.map((run) => run.outcome))
    expect(ended).toHaveLength(12)
    expect(ended).toEqual(ids)
  },
)
