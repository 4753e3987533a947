/** A program with a runner: begins one run, says when its executor works, and waits to be killed. */
import type { BusChoice, RoleOptions } from '@greenroom/runner'
import { createRunner } from '../../src/index.ts'

/** What it is told, as JSON. */
export interface HostOrder {
  readonly dataDir: string
  readonly bus?: BusChoice
  readonly role: RoleOptions
  readonly task: string
}

const { role, task, ...options } = JSON.parse(process.argv[2] ?? '') as HostOrder
const runner = await createRunner({ ...options, roles: { job: role }, quiet: true })
const run = await runner.start({ role: 'job', task })
for await (const event of run) if (event.type === 'data') process.stdout.write(`working as ${run.id}\n`)
