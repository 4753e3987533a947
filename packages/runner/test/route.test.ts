/** The way of one approval through those who may decide: in which order, and that one of them does. */
import type { Decider } from '@greenroom/proto'
import { createReadOnlyShell } from '@greenroom/read-only-shell'
import { expect, test } from 'vitest'
import { route, type RouteParts } from '../src/approval/route.ts'
import { approval } from './fixtures/approval.ts'

const grant = { ...approval, id: 'g', scope: 'run', of: 'r', approval: 'a', decider: 'person', grantedAt: 0 } as const

/** Who is asked, in this order, when everybody would decide; each is there only when it is named. */
function decideWith(there: ReadonlySet<string>) {
  const asked: string[] = []
  const verdict = (who: string) => async () => {
    asked.push(who)
    return { allow: true, reason: who }
  }
  const parts: RouteParts = {
    posture: { readOnly: there.has('read-only'), bypass: there.has('bypass'), unattended: there.has('unattended') },
    grants: there.has('grant') ? [grant] : [],
    shell: createReadOnlyShell(),
    ...(there.has('reviewer') ? { reviewer: verdict('reviewer') } : {}),
    ...(there.has('policy') ? { policy: verdict('policy') } : {}),
    ancestor: there.has('ancestor') ? verdict('ancestor') : async () => undefined,
    ...(there.has('person') ? { person: verdict('person') } : {}),
    signal: new AbortController().signal,
  }
  return route(approval, parts).then((decision) => ({ decision, asked }))
}

test('read-only, a grant, the reviewer, bypass, the policy, an ancestor, a person: the first that decides does, alone', async () => {
  const order = ['read-only', 'grant', 'reviewer', 'bypass', 'policy', 'ancestor', 'person']
  const decided: (readonly [boolean | undefined, Decider | undefined, readonly string[]])[] = []
  for (let first = 0; first <= order.length; first += 1) {
    const { decision, asked } = await decideWith(new Set(order.slice(first)))
    decided.push([decision?.allowed, decision?.decider, asked])
  }
  expect(decided).toEqual([
    [false, 'system', []],
    [true, 'person', []],
    [true, 'reviewer', ['reviewer']],
    [true, 'system', []],
    [true, 'policy', ['policy']],
    [true, 'ancestor', ['ancestor']],
    [true, 'person', ['person']],
    [false, 'system', []],
  ])
})

test('an unattended role asks no person, and all others as ever', async () => {
  expect((await decideWith(new Set(['unattended', 'person']))).decision).toMatchObject({ allowed: false })
  for (const who of ['reviewer', 'policy', 'ancestor'])
    expect((await decideWith(new Set(['unattended', who]))).decision).toMatchObject({ allowed: true, decider: who })
})

test.for(['role', 'tool', 'permission', 'resource', 'of'] as const)(
  'a grant for another %s allows nothing',
  async (field) => {
    const parts = {
      posture: {},
      shell: createReadOnlyShell(),
      ancestor: async () => undefined,
      signal: new AbortController().signal,
    }
    const decide = (grants: RouteParts['grants']) => route(approval, { ...parts, grants })
    expect(await decide([grant])).toMatchObject({ allowed: true, decider: 'person' })
    expect(await decide([{ ...grant, [field]: 'another' }])).toMatchObject({ allowed: false, decider: 'system' })
  },
)
