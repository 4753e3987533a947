/** The checker over ledgers: a story in which all is well, and what it says when one thing in it is not. */
import { describe, expect, test } from 'vitest'
import { judge, type Fault } from '../src/checker.ts'
import type { Entry, HitLine, Kind, RunnerLine, WorkLine } from '../src/ledger.ts'
import { leaksIn } from '../src/leaks.ts'
import { growthOf } from '../src/residents.ts'

const entry = (job: string, epoch: number, n: number): Entry => ({ epoch, seq: 2 * n - 1, said: { job, epoch, n } })
const asked = (job: string, kind: Kind, detached = false): RunnerLine => ({
  t: 'asked',
  job,
  kind,
  keyed: true,
  detached,
  order: { job, entries: 2, everyMs: 0 },
})
const completed = (job: string, epoch: number, entries = 2) => ({
  status: 'completed',
  output: { job, epoch, entries },
  text: '',
})
const begin = (epoch: number): WorkLine => ({ t: 'begin', epoch, pid: 100 + epoch, stamp: '1', at: epoch })
const tick = (epoch: number, n: number): WorkLine => ({ t: 'tick', epoch, n })
const end = (epoch: number, how: 'done' | 'failed' | 'aborted' = 'done'): WorkLine => ({ t: 'end', epoch, how, at: 9 })
const lost = { status: 'failed', code: 'WORKER_LOST', output: null, message: 'killed' }

/**
 * One life starts `one`, is killed when its reader has seen the first entry, and a second one goes on, which takes over the
 * detached run `apart`, too; `again` is executed twice since its first worker was killed; `child` has a parent; `gone` and
 * `apart-gone`, which is detached, lost their workers.
 */
function story(): { ledger: RunnerLine[]; work: Map<string, WorkLine[]>; hits: HitLine[] } {
  const seen = (job: string, epoch: number, n: number): RunnerLine => ({ t: 'entry', job, entry: entry(job, epoch, n) })
  const child = completed('child', 1)
  const ledger: RunnerLine[] = [
    { t: 'life', life: 1, at: 0 },
    asked('one', 'stream'),
    { t: 'started', job: 'one', run: 'run-1' },
    seen('one', 1, 1),
    { t: 'life', life: 2, at: 5 },
    seen('one', 1, 2),
    { t: 'outcome', job: 'one', outcome: completed('one', 1) },
    asked('again', 'again'),
    { t: 'started', job: 'again', run: 'run-2' },
    seen('again', 1, 1),
    seen('again', 2, 1),
    seen('again', 2, 2),
    { t: 'outcome', job: 'again', outcome: completed('again', 2) },
    asked('child', 'child'),
    { t: 'queued', job: 'child', run: 'run-3' },
    seen('child', 1, 1),
    seen('child', 1, 2),
    { t: 'outcome', job: 'child', outcome: child },
    { t: 'told', run: 'run-3', outcome: child },
    asked('gone', 'short'),
    { t: 'started', job: 'gone', run: 'run-4' },
    { t: 'outcome', job: 'gone', outcome: lost },
    asked('apart', 'lasting', true),
    { t: 'started', job: 'apart', run: 'run-5' },
    seen('apart', 1, 1),
    seen('apart', 1, 2),
    { t: 'outcome', job: 'apart', outcome: completed('apart', 1) },
    asked('apart-gone', 'lasting', true),
    { t: 'started', job: 'apart-gone', run: 'run-6' },
    { t: 'outcome', job: 'apart-gone', outcome: lost },
    { t: 'left', runs: [] },
    { t: 'audit', job: 'one', outcome: completed('one', 1), entries: [entry('one', 1, 1), entry('one', 1, 2)] },
    {
      t: 'audit',
      job: 'again',
      outcome: completed('again', 2),
      entries: [entry('again', 1, 1), entry('again', 2, 1), entry('again', 2, 2)],
    },
    { t: 'audit', job: 'child', outcome: child, entries: [entry('child', 1, 1), entry('child', 1, 2)] },
    { t: 'audit', job: 'apart', outcome: completed('apart', 1), entries: [entry('apart', 1, 1), entry('apart', 1, 2)] },
    { t: 'audit', job: 'apart-gone', outcome: lost, entries: [] },
    { t: 'audit', job: 'gone', outcome: lost, entries: [] },
  ]
  const whole = [begin(1), tick(1, 1), tick(1, 2), end(1)]
  const again = [begin(1), tick(1, 1), tick(1, 2), begin(2), tick(2, 1), tick(2, 2), end(2)]
  const work = new Map<string, WorkLine[]>([
    ['one', whole],
    ['again', again],
    ['child', [...whole]],
    ['gone', [begin(1), tick(1, 1)]],
    ['apart', [...whole]],
    ['apart-gone', [begin(1), tick(1, 1)]],
  ])
  return { ledger, work, hits: [{ t: 'hit', pid: 101, stamp: '1', signal: 'SIGKILL', at: 8 }] }
}

type Story = ReturnType<typeof story>

function faultsIn(change: (story: Story) => void): Fault[] {
  const changed = story()
  change(changed)
  const { violations } = judge([changed.ledger], (job) => changed.work.get(job) ?? [], changed.hits)
  return [...new Set(violations.map(({ fault }) => fault))]
}

/** Replaces the line that matches; each change hits exactly one. */
function replace(lines: RunnerLine[], isIt: (line: RunnerLine) => boolean, by: readonly RunnerLine[]): void {
  const places = lines.flatMap((line, index) => (isIt(line) ? [index] : []))
  expect(places).toHaveLength(1)
  lines.splice(places[0] ?? 0, 1, ...by)
}

test('a story in which all is well', () => {
  const { ledger, work, hits } = story()
  expect(judge([ledger], (job) => work.get(job) ?? [], hits)).toEqual({
    started: 6,
    executions: 7,
    detached: { runs: 2, takenOver: 1 },
    outcomes: { completed: 4, 'failed WORKER_LOST': 2 },
    unrecorded: 0,
    violations: [],
  })
})

describe('is noticed:', () => {
  const is = (t: RunnerLine['t'], job: string) => (line: RunnerLine) =>
    line.t === t && 'job' in line && line.job === job
  const outcome = (job: string) => (lines: Story, by: readonly RunnerLine[]) =>
    replace(lines.ledger, is('outcome', job), by)
  const cases: readonly (readonly [what: string, faults: readonly Fault[], change: (story: Story) => void])[] = [
    ['a run that no life ever brought to an end', ['lost'], (it) => outcome('gone')(it, [])],
    ['a run that nobody knows any more', ['lost'], (it) => outcome('gone')(it, [{ t: 'unknown', job: 'gone' }])],
    ['a run that the journal has forgotten', ['lost'], (it) => replace(it.ledger, is('audit', 'gone'), [])],
    [
      'a run that was left open',
      ['lost'],
      (it) => replace(it.ledger, ({ t }) => t === 'left', [{ t: 'left', runs: ['run-9'] }]),
    ],
    ['a parent that was not told', ['lost'], (it) => replace(it.ledger, ({ t }) => t === 'told', [])],
    [
      'a child of which only its execution is left',
      ['lost'],
      (it) => {
        for (const t of ['outcome', 'told', 'audit'] as const)
          replace(it.ledger, (line) => (t === 'told' ? line.t === t : is(t, 'child')(line)), [])
        it.ledger = it.ledger.filter((line) => !is('entry', 'child')(line))
      },
    ],
    ['two runs for one key', ['doubled'], (it) => it.ledger.splice(3, 0, { t: 'started', job: 'one', run: 'run-8' })],
    [
      'another outcome in a later life',
      ['doubled'],
      (it) => it.ledger.splice(-5, 0, { t: 'outcome', job: 'gone', outcome: { ...lost, code: 'OUTCOME_UNKNOWN' } }),
    ],
    [
      'another outcome in the journal',
      ['doubled'],
      (it) =>
        replace(it.ledger, is('audit', 'gone'), [
          { t: 'audit', job: 'gone', outcome: { ...lost, message: 'hanged' }, entries: [] },
        ]),
    ],
    [
      'another outcome for the parent',
      ['doubled'],
      (it) => replace(it.ledger, ({ t }) => t === 'told', [{ t: 'told', run: 'run-3', outcome: lost }]),
    ],
    ['an attempt that is executed twice', ['doubled'], (it) => it.work.get('one')?.splice(1, 0, begin(1))],
    [
      'an attempt that is repeated though it may not be',
      ['doubled', 'illegitimate'],
      (it) => it.work.set('one', [begin(1), tick(1, 1), tick(1, 2), begin(2), end(2)]),
    ],
    [
      'an attempt that goes on when the next has begun',
      ['overlapping'],
      (it) => it.work.get('again')?.push(tick(1, 2)),
    ],
    [
      'an attempt whose process lived when the next began',
      ['overlapping'],
      (it) => it.work.get('again')?.push({ t: 'overlap', epoch: 2, with: 1 }),
    ],
    [
      'an entry that was read twice',
      ['disordered'],
      (it) => it.ledger.splice(5, 0, { t: 'entry', job: 'one', entry: entry('one', 1, 1) }),
    ],
    ['an entry that no reader saw', ['disordered', 'lost'], (it) => it.ledger.splice(5, 1)],
    [
      'an entry that the journal lost',
      ['disordered'],
      (it) =>
        replace(it.ledger, is('audit', 'one'), [
          { t: 'audit', job: 'one', outcome: completed('one', 1), entries: [entry('one', 1, 1)] },
        ]),
    ],
    ['an entry that nobody told', ['disordered'], (it) => it.work.get('one')?.splice(2, 1)],
    [
      'an entry of another job',
      ['disordered'],
      (it) => {
        it.ledger[5] = { t: 'entry', job: 'one', entry: { ...entry('two', 1, 2) } }
      },
    ],
    ['an outcome without its work', ['illegitimate'], (it) => it.work.get('one')?.splice(3, 1)],
    [
      'an output of another attempt',
      ['illegitimate'],
      (it) => {
        for (const line of it.ledger)
          if ('job' in line && line.job === 'again' && 'outcome' in line && line.outcome !== null)
            line.outcome = completed('again', 1)
      },
    ],
    [
      'a failure that nothing explains',
      ['illegitimate'],
      (it) => {
        for (const line of it.ledger)
          if ('job' in line && line.job === 'gone' && 'outcome' in line) line.outcome = { ...lost, code: 'INTERNAL' }
      },
    ],
    [
      'a cancel that nobody ordered',
      ['illegitimate'],
      (it) => {
        const cancelled = { status: 'cancelled', output: null, reason: 'why?' }
        for (const line of it.ledger)
          if ('job' in line && line.job === 'gone' && 'outcome' in line) line.outcome = cancelled
      },
    ],
    ['a detached run that was lost though nobody hit its worker', ['illegitimate'], (it) => it.hits.pop()],
    [
      'a detached run that is done again though nobody hit its worker',
      ['illegitimate'],
      (it) => {
        it.hits.pop()
        it.ledger = it.ledger.filter((line) => !('job' in line) || line.job !== 'apart-gone')
        replace(it.ledger, is('asked', 'again'), [asked('again', 'again', true)])
      },
    ],
    [
      'a detached run that is cancelled when its runner closes',
      ['illegitimate'],
      (it) => {
        it.ledger.push({ t: 'closed', life: 2 })
        for (const line of it.ledger)
          if ('job' in line && line.job === 'apart-gone' && 'outcome' in line)
            line.outcome = { status: 'cancelled', output: null }
      },
    ],
  ]
  test.for(cases)('%s', ([, faults, change]) => {
    expect(faultsIn(change).toSorted()).toEqual([...faults].toSorted())
  })
})

test('descriptors that were not there before are a leak, and a process that was replaced cannot be compared', () => {
  const before = new Map([
    ['broker', { pid: 1, count: 20 }],
    ['one', { pid: 2, count: 20 }],
    ['two', { pid: 3, count: 20 }],
  ])
  expect(leaksIn(before, before)).toEqual([])
  const after = new Map([
    ['broker', { pid: 1, count: 19 }],
    ['one', { pid: 2, count: 21 }],
    ['two', { pid: 4, count: 20 }],
  ])
  expect(leaksIn(before, after)).toEqual(['one has 21 descriptors, before it had 20', 'two did not live through it'])
})

test('growth is told in percent, of each who was there before and after', () => {
  expect(growthOf({ broker: 100, one: 80, two: 90 }, { broker: 104, one: 78, three: 1 })).toEqual({
    broker: 4,
    one: -2.5,
    two: 0,
  })
})
