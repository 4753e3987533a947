import { describe, expect, test } from 'vitest'
import { agree, codeOf, confirm, wire, type Hello, type Offer, type Welcome } from '../src/index.ts'

const hello = (fields: Partial<Hello> = {}): Hello => ({ t: 'hello', wire: wire.version, capabilities: [], ...fields })
const welcome = (fields: Partial<Welcome> = {}): Welcome => ({
  t: 'welcome',
  wire: wire.version,
  capabilities: [],
  broker: 'b1',
  pingMs: 1,
  partitionGraceMs: 1,
  dedupeWindowMs: 1,
  ...fields,
})
const ours: Offer = { capabilities: ['durable', 'ttl'] }

function refusal(act: () => unknown): { code: string | undefined; message: string } {
  try {
    act()
  } catch (error) {
    return { code: codeOf(error), message: error instanceof Error ? error.message : '' }
  }
  return { code: undefined, message: '' }
}

describe('the broker', () => {
  test('speaks the newest version that both know, and what both can do', () => {
    const agreed = agree(hello({ wire: wire.version + 7, oldest: 1, capabilities: ['ttl', 'x-new'] }), ours)
    expect(agreed).toEqual({ wire: wire.version, capabilities: new Set(['ttl']) })
  })

  test('takes `wire` for the oldest version when the client names none', () => {
    expect(agree(hello(), ours).wire).toBe(wire.version)
    expect(refusal(() => agree(hello({ wire: wire.version + 1 }), ours)).code).toBe('UNSUPPORTED_VERSION')
  })

  test('refuses versions of which it knows none, and says which those are', () => {
    for (const versions of [{ wire: 0 }, { wire: wire.version + 3, oldest: wire.version + 2 }, { wire: 1, oldest: 2 }])
      expect(refusal(() => agree(hello(versions), ours))).toEqual({
        code: 'UNSUPPORTED_VERSION',
        message: expect.stringContaining(`${versions.oldest ?? versions.wire} to ${versions.wire}`) as string,
      })
  })

  test('refuses by name what it lacks, and what the client lacks', () => {
    const lacking = refusal(() => agree(hello({ capabilities: ['ttl'], required: ['ttl', 'quotas'] }), ours))
    expect(lacking).toEqual({ code: 'MISSING_CAPABILITY', message: 'the broker does not offer "quotas"' })
    const demanding = refusal(() => agree(hello(), { ...ours, required: ['durable'] }))
    expect(demanding).toEqual({ code: 'MISSING_CAPABILITY', message: 'the client does not offer "durable"' })
    expect(agree(hello({ required: ['durable'] }), ours).capabilities).toEqual(new Set())
  })
})

describe('the client', () => {
  test('takes the version the broker chose, and what both can do', () => {
    const agreed = confirm(welcome({ capabilities: ['durable', 'x-new'] }), ours)
    expect(agreed).toEqual({ wire: wire.version, capabilities: new Set(['durable']) })
  })

  test('refuses a version that it does not know', () => {
    for (const chosen of [wire.oldestVersion - 1, wire.version + 1])
      expect(refusal(() => confirm(welcome({ wire: chosen }), ours)).code).toBe('UNSUPPORTED_VERSION')
  })

  test('refuses by name what the broker lacks', () => {
    const lacking = refusal(() => confirm(welcome({ capabilities: ['ttl'] }), { ...ours, required: ['durable'] }))
    expect(lacking).toEqual({ code: 'MISSING_CAPABILITY', message: 'the broker does not offer "durable"' })
  })
})
