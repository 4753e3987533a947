/** Chaos itself, shortly: real processes, and that it notices what is broken on purpose. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { ApprovalReport } from '../src/approvals/run.ts'
import type { ChaosReport } from '../src/chaos.ts'

/** Most of it is waiting; a machine that is busy with other things takes three times as long. */
const timeout = 400_000
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))

async function chaos<Report = ChaosReport>(
  ...args: readonly string[]
): Promise<{ report: Report; code: unknown; kept: string }> {
  const child = spawn(process.execPath, ['--conditions=@greenroom/source', main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [output, progress, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number]>,
  ])
  const kept = /are kept in (\S+)/.exec(progress)?.[1] ?? ''
  if (output === '') throw new Error(`no report: ${progress}`)
  return { report: JSON.parse(output) as Report, code, kept }
}

test('ten seconds of everything: nothing is lost, doubled, overlapping or left', { timeout }, async () => {
  const { report, code, kept } = await chaos('--minutes', '0.15', '--seed', '3')
  const { kills, runs, executions, detached, outcomes, violations } = report
  console.log(
    `chaos: ${JSON.stringify({ runs, detached, outcomes, kills, stops: report.stops, connections: report.connections })}`,
  )
  expect(violations, `the ledgers are in ${kept}`).toEqual([])
  expect(code).toBe(0)
  for (const kind of ['broker', 'runner', 'worker'] as const) expect(kills[kind]).toBeGreaterThan(0)
  expect(runs).toBeGreaterThan(20)
  expect(executions).toBeGreaterThan(20)
  expect(outcomes['completed']).toBeGreaterThan(10)
  // In the end every runner is killed while one executes.
  expect(detached.takenOver).toBeGreaterThan(0)
  expect(report.connections.cut).toBeGreaterThan(0)
  expect(kept).toBe('')
})

test('forty approvals amid kills: each has one decision, and who asked got that', { timeout }, async () => {
  const { report, code, kept } = await chaos<ApprovalReport>('--approvals', '40', '--seed', '5')
  const { asked, recorded, decisions, answered, late, kills, violations } = report
  console.log(`chaos: ${JSON.stringify({ asked, recorded, decisions, answered, late, kills })}`)
  expect(violations, `the ledgers are in ${kept}`).toEqual([])
  expect(code).toBe(0)
  expect(recorded).toBeGreaterThanOrEqual(40)
  expect(answered).toBeGreaterThan(20)
  expect(kills.broker + kills.runner).toBeGreaterThan(0)
  expect(kept).toBe('')
})

test(
  'runners that do not resume, work that is done twice and workers that leave somebody behind are noticed',
  { timeout },
  async () => {
    const { report, code, kept } = await chaos('--minutes', '0.15', '--seed', '3', '--break', 'resume,twice,orphans')
    expect(code).toBe(1)
    expect(report.lost).toBeGreaterThan(0)
    expect(report.doubled).toBeGreaterThan(0)
    expect(report.orphans).toBeGreaterThan(0)
    expect(existsSync(kept)).toBe(true)
    rmSync(kept, { recursive: true })
  },
)

test('detached workers that end with their runner are noticed', { timeout }, async () => {
  const { report, code, kept } = await chaos('--minutes', '0.05', '--seed', '3', '--break', 'detached')
  expect(code).toBe(1)
  expect(report.violations.join('\n')).toMatch(/is detached and was lost, though nobody hit its worker/)
  expect(report.illegitimate).toBeGreaterThan(0)
  rmSync(kept, { recursive: true })
})
