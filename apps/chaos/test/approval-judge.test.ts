/** That the judge of approvals notices what must not be. */
import { expect, test } from 'vitest'
import { judgeApprovals } from '../src/approvals/judge.ts'
import type { ApprovalLine, ChaosRecord, Decision } from '../src/approvals/line.ts'

const allowed: Decision = {
  allowed: true,
  reason: 'because',
  decider: 'person',
  scope: 'once',
  input: null,
  decidedAt: 10,
}
const denied: Decision = { ...allowed, allowed: false }
const said: ApprovalLine = { t: 'said', id: 'a', decider: 'person', verdict: { allow: true, reason: 'because' } }
const input = { tag: '1.1.0', args: ['x'] }

function recorded(decision: Decision | undefined, more: Partial<ChaosRecord> = {}): ApprovalLine {
  const record = { id: 'a', runId: 'r', session: 's', resource: '/', input, deadline: 300, ...more }
  return { t: 'record', record: decision === undefined ? record : { ...record, decision } }
}

function answer(more: Partial<(ApprovalLine & { t: 'answer' })['answer']> = {}): ApprovalLine {
  return {
    t: 'answer',
    tag: input.tag,
    answer: { allowed: true, reason: 'because', decider: 'person', input, ...more },
  }
}

test('what is as it must be', () => {
  const lines = [said, recorded(allowed), answer(), { t: 'got', id: 'a', allow: false, decision: allowed } as const]
  expect(judgeApprovals(lines)).toMatchObject({ recorded: 1, answered: 1, late: 1, violations: [] })
  const granted = { ...allowed, reason: 'granted for the run', decidedAt: 11 }
  const grant = recorded({ ...allowed, scope: 'run' }, { id: 'g' })
  const asSaid = { ...said, id: 'g', verdict: { allow: true, reason: 'because', scope: 'run' } } as const
  expect(judgeApprovals([asSaid, grant, recorded(granted)]).violations).toEqual([])
})

test.for<[string, readonly ApprovalLine[]]>([
  ['undecided', [recorded(undefined)]],
  ['forged', [recorded(allowed)]],
  ['forged', [{ ...said, decider: 'policy' }, recorded(allowed)]],
  ['forged', [said, recorded({ ...allowed, input: { tag: '1.1.0', args: ['y'] } })]],
  ['forged', [said, recorded({ ...allowed, scope: 'session' })]],
  ['forged', [recorded({ ...allowed, reason: 'granted for the run' })]],
  ['forged', [answer()]],
  ['untrue', [said, recorded(denied)]],
  ['untrue', [recorded({ ...denied, decider: 'deadline', decidedAt: 200 })]],
  ['untrue', [recorded({ ...denied, decider: 'system', reason: 'no idea' })]],
  ['unlike', [said, recorded(allowed), answer({ allowed: false, input: undefined })]],
  ['unlike', [said, recorded(allowed), answer({ input: { tag: '1.1.0', args: ['y'] } })]],
  ['unlike', [said, recorded(allowed), { t: 'got', id: 'a', allow: true, decision: denied }]],
])('%s: %j', ([fault, lines]) => {
  expect(judgeApprovals(lines).violations.map((one) => one.fault)).toEqual([fault])
})
