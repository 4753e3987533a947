/** What the runner takes from the machine around it. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'

test.runIf(existsSync('/proc/self'))(
  'a folder that cannot be made is done without, and does not hang the program',
  () => {
    const file = new URL('../src/platform/surroundings.ts', import.meta.url)
    const program = `import(${JSON.stringify(file.href)}).then(({ workerEnvironment }) =>
    console.log(JSON.stringify(workerEnvironment([], null))))`
    const { stdout, signal } = spawnSync(process.execPath, ['--conditions=@greenroom/source', '--eval', program], {
      // No folder can be made there, and the system says that the one above is missing.
      env: { ...process.env, TMPDIR: '/proc/no/such' },
      timeout: 10_000,
      killSignal: 'SIGKILL',
      encoding: 'utf8',
    })
    expect([signal, stdout.trim()]).toEqual([null, '{}'])
  },
)
