import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { JsonValue } from '@greenroom/proto'
import { defineExecutor, type echo, type InferInput, type InferOutput } from '@greenroom/worker'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'

const release = defineExecutor({
  version: '1',
  input: z.object({ tag: z.string(), force: z.boolean().default(false) }),
  output: z.object({ sha: z.string() }),
  async run({ input, workspace }, ctx) {
    expectTypeOf(input).toEqualTypeOf<{ tag: string; force: boolean }>()
    await ctx.emit({ type: 'text-delta', text: `tagging ${input.tag}\n` })
    if (workspace === '/') return ctx.fail('DENIED', 'not there')
    const git = (a: string[]) => promisify(execFile)('git', a, { cwd: workspace, signal: ctx.signal })
    await git(['tag', input.tag])
    return { output: { sha: (await git(['rev-parse', 'HEAD'])).stdout.trim() }, text: `tagged ${input.tag}` }
  },
})

describe('defineExecutor', () => {
  test('infers what a caller gives and gets from the schemas', () => {
    expectTypeOf<InferInput<typeof release>>().toEqualTypeOf<{ tag: string; force?: boolean | undefined }>()
    expectTypeOf<InferOutput<typeof release>>().toEqualTypeOf<{ sha: string }>()
    expectTypeOf<InferInput<typeof echo>>().toEqualTypeOf<JsonValue | undefined>()
    expectTypeOf<InferOutput<typeof echo>>().toEqualTypeOf<JsonValue>()
  })

  test('demands an output where there is a schema for one, and only there', () => {
    defineExecutor({ version: '1', async run() {} })
    defineExecutor({ version: '1', run: async () => ({ output: [1, { two: null }], usage: { rounds: 1 } }) })
    // @ts-expect-error The output is missing.
    defineExecutor({ version: '1', output: z.string(), run: async () => ({ text: '' }) })
    // @ts-expect-error The output is of the wrong type.
    defineExecutor({ version: '1', output: z.string(), run: async () => ({ output: 1 }) })
  })

  test('fills in every default', () => {
    expect(defineExecutor({ version: '3', async run() {} })).toEqual({
      version: '3',
      input: undefined,
      output: undefined,
      secrets: [],
      lateBound: [],
      slots: 1,
      idempotent: false,
      suspendable: false,
      run: expect.any(Function),
    })
  })
})
