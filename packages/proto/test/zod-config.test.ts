import { afterEach, describe, expect, test, vi } from 'vitest'
import * as z from 'zod'

afterEach(() => {
  vi.unstubAllGlobals()
  vi.resetModules()
})

describe('in a page or a web worker', () => {
  test.each(['document', 'WorkerGlobalScope'])(
    'with %s, objects are made without compilation and the zod of the program stays as it was',
    async (name) => {
      vi.stubGlobal(name, {})
      vi.resetModules()
      const { uncompiled } = await import('../src/schemas/object.ts')
      const before = z.config().jitless
      expect(uncompiled(() => z.config().jitless)).toBe(true)
      expect(z.config().jitless).toBe(before)
      const failing = (): never => {
        throw new Error('while it is made')
      }
      expect(() => uncompiled(failing)).toThrow('while it is made')
      expect(z.config().jitless).toBe(before)
    },
  )

  test('the schemas read what they read elsewhere', async () => {
    vi.stubGlobal('document', {})
    vi.resetModules()
    const { parseClientHeader } = await import('../src/index.ts')
    const header = { t: 'watch', req: 1, role: 'tester', more: { x: 1 } }
    expect(parseClientHeader(header)).toEqual(header)
    expect(() => parseClientHeader({ ...header, req: '1' })).toThrow('at req')
  })
})

test('elsewhere objects are compiled as the program has it', async () => {
  const { uncompiled } = await import('../src/schemas/object.ts')
  expect(uncompiled(() => z.config().jitless)).toBe(z.config().jitless)
})
