import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { Limits } from '@greenroom/proto'

/** Runs the program and suspends it, and its worker if told so, for longer than any limit. */
async function suspended(count: number, limits: Limits, { withWorker }: { readonly withWorker: boolean }) {
  const program = fileURLToPath(new URL('fixtures/counting-program.ts', import.meta.url))
  const args = ['--conditions=@greenroom/source', program, String(count), JSON.stringify(limits)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
    const worker = Number((await lines.next()).value)
    expect(worker).toBeGreaterThan(0)
    await sleep(300)
    if (withWorker) process.kill(worker, 'SIGSTOP')
    child.kill('SIGSTOP')
    await sleep(3_000)
    child.kill('SIGCONT')
    if (withWorker) process.kill(worker, 'SIGCONT')
    return JSON.parse(String((await lines.next()).value))
  } finally {
    child.kill('SIGKILL')
  }
}

test('a runner that was suspended for longer than its limits ends no run whose worker went on', async () => {
  const limits = { firstEventMs: 2_000, noProgressMs: 2_000 }
  expect(await suspended(40, limits, { withWorker: false })).toMatchObject({ status: 'completed', output: 40 })
})

test('a machine that slept for longer than a run may take ends nothing: its time is the time that it could use', async () => {
  const limits = { firstEventMs: 2_000, noProgressMs: 2_000, totalMs: 2_500 }
  expect(await suspended(12, limits, { withWorker: true })).toMatchObject({ status: 'completed', output: 12 })
})
