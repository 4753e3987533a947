import { expect, test } from 'vitest'
import { markdown, reportOf } from '../src/report.ts'
import type { Child } from '../src/survey.ts'
import { merge, type Finding } from '../src/tally.ts'

const found: Finding = {
  ...merge([]),
  languages: { TypeScript: { files: 2, lines: 1234, bytes: 56_789 } },
  longest: [{ path: 'a|b`c\n.ts', lines: 1000 }],
  todos: [{ path: '\udce9.ts', line: 7, text: 'TODO \u001b[31mred' }],
  todoCount: 1,
}

function child(number: number, finding: Finding, problem?: string): Child {
  const status = {
    runId: `run-${number}`,
    role: 'surveyor',
    session: `run-${number}`,
    phase: 'ended' as const,
    placement: { kind: 'local' as const, host: 'here' },
    worker: { address: 'worker.1', pid: 4711, warm: false, miss: { why: 'first' as const } },
    attempts: 1,
    events: 3,
    startedAt: 0,
    ms: 12.6,
    status: problem === undefined ? ('completed' as const) : ('failed' as const),
  }
  return {
    number,
    pass: 1,
    listed: 2,
    done: 2,
    finding,
    status: () => status,
    ...(problem !== undefined && { problem }),
  }
}

const tree = {
  files: [
    { path: 'a', bytes: 1 },
    { path: 'b', bytes: 1 },
  ],
  hidden: [],
}

test('JSON has exactly what is promised', () => {
  expect(reportOf([child(1, found)])).toEqual({
    totals: { files: 2, lines: 1234, bytes: 56_789 },
    languages: { TypeScript: { files: 2, lines: 1234, bytes: 56_789 } },
    longest: [{ path: 'a|b`c\n.ts', lines: 1000 }],
    todos: [{ path: '\udce9.ts', line: 7, text: 'TODO \u001b[31mred' }],
    children: [
      {
        runId: 'run-1',
        role: 'surveyor',
        placement: 'local',
        worker: { pid: 4711, warm: false, miss: 'the first worker of its kind' },
        pass: 1,
        attempts: 1,
        status: 'completed',
        ms: 13,
        files: 2,
      },
    ],
  })
})

test('Markdown reads well, and obeys nothing that a file or its name says', () => {
  const text = markdown('/some/where', tree, [child(1, found)])
  expect(text).toContain('# Survey of `/some/where`\n\n2 files, 1,234 lines, 56,789 bytes.')
  expect(text).toContain('| TypeScript |     2 | 1,234 | 56,789 |')
  expect(text).toContain('- `` a|b`c\\x0a.ts ``: 1,000 lines')
  expect(text).toContain('- `\\xe9.ts:7` `TODO \\x1b[31mred`')
  expect(text).toContain(
    '| surveyor 1 |    1 | 4711 | local, cold: the first worker of its kind | completed |     2 |  13 |',
  )
  expect(text).not.toContain('Partial')
  // oxlint-disable-next-line no-control-regex -- that is what must not be there
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
})

test('what is missing is said', () => {
  const finding = { ...found, unreadable: ['locked'], vanished: ['gone'] }
  const text = markdown('/x', { ...tree, hidden: ['cave'] }, [
    child(1, finding),
    child(2, merge([]), 'WORKER_LOST: *killed*'),
  ])
  expect(text).toContain('**Partial:** 1 of 2 children did not complete; 2 of 2 files are counted.')
  expect(text).toContain('- surveyor 2: WORKER\\_LOST: \\*killed\\*')
  expect(text).toContain('## Not readable: counted with their bytes, but no lines\n\n- `locked`')
  expect(text).toContain('## Gone before they were read: not counted\n\n- `gone`')
  expect(text).toContain('## Not accessible: not counted\n\n- `cave`')
})

test('long lists are cut and say so', () => {
  const todos = Array.from({ length: 50 }, (_, n) => ({ path: 'a', line: n + 1, text: 'TODO' }))
  const text = markdown('/x', tree, [child(1, { ...found, todos, todoCount: 70 })])
  expect(text).toContain('## TODO and FIXME: 70; JSON has 50 of them (at most 10,000, 1,000 a file)')
  expect(text).toContain('- `a:20` `TODO`\n- … and 50 more')
})
