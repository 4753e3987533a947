import type { ApprovalDecided, ApprovalRecord } from 'greenroom'
import { describe, expect, test } from 'vitest'
import { historyLine } from '../src/history-report.ts'
import type { Told } from '../src/history.ts'
import { markdown, reportOf } from '../src/report.ts'
import type { Child } from '../src/child.ts'
import { failureOf, type Historian, type Surveyed } from '../src/survey.ts'
import { merge, type Finding } from '../src/tally.ts'

const found: Finding = {
  ...merge([]),
  languages: { TypeScript: { files: 2, lines: 1234, bytes: 56_789 } },
  longest: [{ path: 'a|b`c\n.ts', lines: 1000 }],
  todos: [{ path: '\udce9.ts', line: 7, text: 'TODO \u001b[31mred' }],
  todoCount: 1,
}

interface Placing {
  readonly pass?: number
  readonly share?: string
  readonly parent?: Child
  readonly warm?: boolean
  readonly ms?: number
}

function child(
  number: number | string,
  finding: Finding,
  problem?: string,
  { pass = 1, share = String(number), parent, warm = false, ms = 12.6 }: Placing = {},
): Child {
  const status = {
    runId: `run-${number}`,
    role: 'surveyor',
    session: `run-${number}`,
    phase: 'ended' as const,
    placement: { kind: 'local' as const, host: 'here' },
    worker: {
      address: 'worker.1',
      pid: 4711,
      warm,
      ...(!warm && { miss: { why: 'first' as const } }),
    },
    attempts: 1,
    events: 3,
    startedAt: 0,
    ms,
    status: problem === undefined ? ('completed' as const) : ('failed' as const),
  }
  return {
    name: String(number),
    ...(parent !== undefined && { parent }),
    pass,
    share,
    listed: 2,
    done: 2,
    finding,
    status: () => status,
    ...(problem !== undefined && { problem }),
  }
}

const historian: Historian = {
  status: {
    runId: 'run-h',
    role: 'historian',
    session: 'run-h',
    phase: 'ended',
    placement: { kind: 'local', host: 'here' },
    worker: { address: 'worker.h', pid: 4712, warm: false },
    attempts: 1,
    events: 3,
    startedAt: 0,
    ms: 20.4,
    status: 'completed',
  },
  outcome: { status: 'completed', output: { none: 'nothing of it is committed' }, text: '' },
  asked: [],
}

const surveyed = (...children: Child[]): Surveyed => ({ children, historian })

const tree = {
  files: [
    { path: 'a', bytes: 1 },
    { path: 'b', bytes: 1 },
  ],
  hidden: [],
}

test('JSON has exactly what is promised', () => {
  expect(reportOf(surveyed(child(1, found)))).toEqual({
    totals: { files: 2, lines: 1234, bytes: 56_789 },
    languages: { TypeScript: { files: 2, lines: 1234, bytes: 56_789 } },
    longest: [{ path: 'a|b`c\n.ts', lines: 1000 }],
    todos: [{ path: '\udce9.ts', line: 7, text: 'TODO \u001b[31mred' }],
    children: [
      {
        name: '1',
        runId: 'run-1',
        parent: null,
        role: 'surveyor',
        placement: 'local',
        host: 'here',
        worker: { pid: 4711, warm: false, miss: 'the first worker of its kind' },
        pass: 1,
        attempts: 1,
        status: 'completed',
        ms: 13,
        files: 2,
      },
    ],
    history: {
      runId: 'run-h',
      role: 'historian',
      placement: 'local',
      host: 'here',
      worker: { pid: 4712 },
      status: 'completed',
      ms: 20,
      approval: null,
      told: null,
      why: 'nothing of it is committed',
    },
  })
})

test('Markdown reads well, and obeys nothing that a file or its name says', () => {
  const text = markdown('/some/where', tree, surveyed(child(1, found)))
  expect(text).toContain('# Survey of `/some/where`\n\n2 files, 1,234 lines, 56,789 bytes.')
  expect(text).toContain('| TypeScript |     2 | 1,234 | 56,789 |')
  expect(text).toContain('- `` a|b`c\\x0a.ts ``: 1,000 lines')
  expect(text).toContain('- `\\xe9.ts:7` `TODO \\x1b[31mred`')
  expect(text).toContain(
    '| surveyor 1 |    1 | 4711 | local, here | cold: the first worker of its kind | completed |     2 |  13 |\n' +
      '| historian  |    – | 4712 | local, here | its own                            | completed |     – |  20 |',
  )
  expect(text).not.toContain('Partial')
  // oxlint-disable-next-line no-control-regex -- that is what must not be there
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
})

test('whose child a surveyor was is seen', () => {
  const first = child(1, found)
  const largest = child('1.1', found, undefined, { parent: first })
  const all = [
    first,
    largest,
    child('1.1.1', found, 'WORKER_LOST: killed', { parent: largest }),
    child('1.2', found, undefined, { parent: first }),
    child(2, found),
  ]
  expect(reportOf(surveyed(...all)).children.map(({ name, parent }) => [name, parent])).toEqual([
    ['1', null],
    ['1.1', 'run-1'],
    ['1.1.1', 'run-1.1'],
    ['1.2', 'run-1'],
    ['2', null],
  ])
  const text = markdown('/x', tree, surveyed(...all))
  const firstCells = text.split('\n').flatMap((line) => /^\| (.*surveyor [\d.]+) /.exec(line)?.[1] ?? [])
  expect(firstCells).toEqual(['surveyor 1', '└ surveyor 1.1', '  └ surveyor 1.1.1', '└ surveyor 1.2', 'surveyor 2'])
  expect(text).toContain(
    'The largest share was split: surveyor 1 gave parts of it to children of its own, 1.1 and 1.2; ' +
      'surveyor 1.1 gave parts of it to children of its own, 1.1.1.',
  )
  expect(text).toContain('- surveyor 1.1.1: WORKER\\_LOST: killed')
})

test('what is missing is said', () => {
  const finding = { ...found, unreadable: ['locked'], vanished: ['gone'] }
  const text = markdown(
    '/x',
    { ...tree, hidden: ['cave'] },
    surveyed(child(1, finding), child(2, merge([]), 'WORKER_LOST: *killed*')),
  )
  expect(text).toContain('**Partial:** 1 of 2 children did not complete; 2 of 2 files are counted.')
  expect(text).toContain('- surveyor 2: WORKER\\_LOST: \\*killed\\*')
  expect(text).toContain('## Not readable: counted with their bytes, but no lines\n\n- `locked`')
  expect(text).toContain('## Gone before they were read: not counted\n\n- `gone`')
  expect(text).toContain('## Not accessible: not counted\n\n- `cave`')
})

test('what an earlier pass lacks is not said of the last one, which is reported', () => {
  const text = markdown(
    '/x',
    tree,
    surveyed(
      child(1, found),
      child(2, merge([]), 'WORKER_LOST: killed'),
      child(3, found, undefined, { pass: 2 }),
      child(4, merge([]), undefined, { pass: 2 }),
    ),
  )
  expect(text).not.toContain('Partial')
  expect(text).toContain(
    '1 of 2 children of earlier passes did not complete; what follows is of pass 2 alone.\n\n' +
      '- surveyor 2, in pass 1: WORKER\\_LOST: killed\n\n2 files, 1,234 lines, 56,789 bytes.',
  )
})

test('what the last pass lacks is said of it, whatever earlier ones found', () => {
  const text = markdown(
    '/x',
    tree,
    surveyed(
      child(1, found),
      child(2, merge([])),
      child(3, merge([]), undefined, { pass: 2 }),
      child(4, merge([]), 'WORKER_LOST: killed', { pass: 2 }),
    ),
  )
  expect(text).toContain('**Partial:** 1 of 2 children of pass 2 did not complete; 0 of 2 files are counted.')
  expect(text).not.toContain('earlier')
})

test('warm workers are compared with fresh ones by completed runs over the same files', () => {
  const warm = { pass: 2, warm: true }
  const text = markdown(
    '/x',
    tree,
    surveyed(
      child(1, found, undefined, { share: '1', ms: 1_000 }),
      child(2, found, undefined, { share: '2', ms: 2_000 }),
      child(3, merge([]), 'WORKER_LOST: killed', { share: '3', ms: 5 }),
      child(4, found, undefined, { ...warm, share: '1', ms: 400 }),
      child(5, found, undefined, { ...warm, share: '2', ms: 600 }),
      // Nothing to compare it with: the fresh one was killed.
      child(6, found, undefined, { ...warm, share: '3', ms: 90_000 }),
      // And this one did not complete itself.
      child(7, merge([]), 'TIMEOUT: total', { ...warm, share: '1', ms: 70_000 }),
    ),
  )
  expect(text).toContain('4 of 7 runs found a warm worker.')
  expect(text).toContain('500 ms with it, 1,500 ms with a fresh one')
  expect(text).toContain('medians of 2 and 2 completed runs')
})

test('runs over different files are not compared', () => {
  const text = markdown('/x', tree, surveyed(child(1, found), child(2, found, undefined, { warm: true })))
  expect(text).toContain('1 of 2 runs found a warm worker.')
  expect(text).not.toContain('median')
})

test('long lists are cut and say so', () => {
  const todos = Array.from({ length: 50 }, (_, n) => ({ path: 'a', line: n + 1, text: 'TODO' }))
  const text = markdown('/x', tree, surveyed(child(1, { ...found, todos, todoCount: 70 })))
  expect(text).toContain('## TODO and FIXME: 70; JSON has 50 of them (at most 10,000, 1,000 a file)')
  expect(text).toContain('- `a:20` `TODO`\n- … and 50 more')
})

describe('the report says who decided on the historian’s call', () => {
  const call = { tool: 'git', permission: 'execute', resource: '/x', input: { args: ['log'] } }
  const asked = (allowed: boolean, decider: ApprovalDecided['decider'], reason: string): ApprovalRecord => ({
    ...call,
    id: 'a',
    runId: 'run-h',
    epoch: 1,
    path: ['run-h'],
    role: 'historian',
    session: 'run-h',
    workspace: '/x',
    digest: '',
    afterSeq: 1,
    createdAt: 1_000,
    deadline: null,
    decision: { allowed, decider, reason, scope: 'once', decidedAt: 1_500 },
  })
  const denied = { status: 'failed', code: 'DENIED', message: '', retry: 'never' } as const

  test.each([
    ['person', 'not today', 'denied: not today, by a person'],
    ['person', 'rejected by the person', 'denied, by a person'],
    ['deadline', 'nobody decided within 60000 ms', 'denied: nobody decided within 60000 ms, by the deadline'],
    ['system', 'nobody is there', 'denied: nobody is there, by the system'],
  ] as const)('when it was denied by: %s', (decider, reason, says) => {
    const so: Historian = { ...historian, outcome: denied, asked: [asked(false, decider, reason)] }
    const whole = { children: [child(1, found)], historian: so }
    expect(markdown('/x', tree, whole)).toContain(`## History\n\nNo history: ${says}\n\n`)
    expect(markdown('/x', tree, whole)).toMatch(/\| historian .*\| denied +\|/)
    expect(reportOf(whole).history).toMatchObject({
      status: 'failed',
      told: null,
      why: says,
      approval: { ...call, allowed: false, decider, reason, decidedMs: 500 },
    })
    expect(failureOf(so)).toBeUndefined()
  })

  test('when it was allowed, and what was told then', () => {
    const output: Told = {
      commits: 1_234,
      isAll: true,
      first: '2020-01-02T03:04:05Z',
      last: '2026-05-06T07:08:09Z',
      authorCount: 12,
      authors: [{ name: 'A `Tick`\u001b[31m', commits: 1 }],
      changed: [{ path: 'a', commits: 7 }],
    }
    const so: Historian = {
      ...historian,
      outcome: { status: 'completed', output, text: '' },
      asked: [asked(true, 'policy', '--yes')],
    }
    const text = markdown('/x', tree, { children: [child(1, found)], historian: so })
    expect(text).toContain('1,234 commits by 12 authors, from 2020-01-02 to 2026-05-06.')
    expect(text).toContain('`git log` was allowed by a policy (--yes).')
    expect(text).toContain('## Authors\n\n- `` A `Tick`\\x1b[31m ``: 1 commit\n- … and 11 more')
    expect(text).toContain('- `a`: in 7 commits')
    expect(historyLine(so)).toBe('historian (pid 4712): 1,234 commits, allowed by a policy (--yes)')
  })

  test('a historian that was lost has failed', () => {
    const outcome = { status: 'failed', code: 'WORKER_LOST', message: 'killed', retry: 'later' } as const
    const so: Historian = { ...historian, outcome }
    expect(failureOf(so)).toBe('WORKER_LOST: killed')
    expect(markdown('/x', tree, { children: [child(1, found)], historian: so })).toContain(
      'No history: failed: WORKER\\_LOST: killed',
    )
  })
})
