/** What is said of a value that a schema, of whatever library, or JSON does not allow: where it is, and why. */
import { defineExecutor, type RunResult } from '@greenroom/worker'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { openBench } from '../src/testing/bench.ts'
import { validate } from '../src/validate.ts'

/** A schema that finds these issues: as its library words and places them. */
const finding = (...issues: readonly StandardSchemaV1.Issue[]): StandardSchemaV1 => ({
  '~standard': { version: 1, vendor: 'test', validate: () => ({ issues }) },
})

describe('a finding of any Standard Schema is told with its place', () => {
  test.for<readonly [string, StandardSchemaV1.Issue, string]>([
    ['of the value itself', { message: 'no' }, 'output: no'],
    ['with an empty path', { message: 'no', path: [] }, 'output: no'],
    ['whose path is keys', { message: 'no', path: ['list', 0, 'sha'] }, 'output.list.0.sha: no'],
    ['whose path is segments', { message: 'no', path: [{ key: 'list' }, { key: 1 }] }, 'output.list.1: no'],
    ['whose keys are no names', { message: 'no', path: ['a.b', '', 'c d'] }, 'output["a.b"][""]["c d"]: no'],
    ['whose key is a symbol', { message: 'no', path: [Symbol('s')] }, 'output[Symbol(s)]: no'],
  ])('%s', async ([, issue, message]) => {
    await expect(validate(finding(issue), 1, 'output')).rejects.toMatchObject({ code: 'OUTPUT_INVALID', message })
    await expect(validate(finding(issue), 1, 'input')).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: message.replace('output', 'input'),
    })
  })

  test('the first three, and how many there are beside', async () => {
    const issues = ['a', 'b', 'c', 'd', 'e'].map((key) => ({ message: 'no', path: [key] }))
    await expect(validate(finding(...issues), 1, 'output')).rejects.toMatchObject({
      message: 'output.a: no; output.b: no; output.c: no; and 2 more',
    })
  })

  test('zod, in a worker', async () => {
    const release = defineExecutor({
      version: '1',
      output: z.object({ sha: z.string() }),
      // @ts-expect-error As from JavaScript.
      run: async () => ({ output: { sha: 7 } }),
    })
    await using bench = await openBench({ release })
    const { error } = await (await bench.run({ executor: 'release' })).terminal
    expect(error).toMatchObject({
      code: 'OUTPUT_INVALID',
      message: 'output.sha: Invalid input: expected string, received number',
    })
  })
})

test.for<readonly [string, unknown, string]>([
  ['itself', 1n, 'output: a bigint is not JSON'],
  ['in an object', { at: { when: new Date(0) } }, 'output.at.when: a Date is not JSON'],
  ['in a list', { list: ['a', undefined] }, 'output.list.1: undefined is not JSON'],
])('an output that is not JSON, %s, is told with its place', async ([, output, message]) => {
  const it = defineExecutor({ version: '1', run: async () => ({ output }) as RunResult })
  await using bench = await openBench({ it })
  const { error } = await (await bench.run({ executor: 'it' })).terminal
  expect(error).toMatchObject({ code: 'OUTPUT_INVALID', message })
})

test('an event that is not JSON is told with its place', async () => {
  const it = defineExecutor({
    version: '1',
    run: (_, ctx) => Reflect.apply(ctx.emit, ctx, [{ type: 'data', name: 'n', data: { sizes: new Map() } }]),
  })
  await using bench = await openBench({ it })
  const { error } = await (await bench.run({ executor: 'it' })).terminal
  expect(error).toMatchObject({ code: 'BAD_FRAME', message: 'event.data.sizes: a Map is not JSON' })
})
