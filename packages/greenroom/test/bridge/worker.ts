/** The worker of the tests of the bridge: calls what it is told to, and says what came of each. */
import { codeOf, isJson, type JsonObject, type JsonValue } from '@greenroom/proto'
import { z } from 'zod'
import { defineExecutor, serveWorker } from '../../src/worker.ts'

const json = z.custom<JsonValue>(isJson)
const object = z.custom<JsonObject>((value) => isJson(value) && typeof value === 'object' && value !== null)

/** `list`, `server.tool`, or `pause` for some milliseconds. */
const step = z.object({
  do: z.string(),
  input: object.optional(),
  timeoutMs: z.number().optional(),
  ms: z.number().optional(),
})

/** What a test tells it to do. */
export type Step = z.infer<typeof step>

const caller = defineExecutor({
  version: '1',
  input: z.array(step),
  output: z.array(json),
  async run({ input: steps }, ctx) {
    const did = async ({ do: what, input, timeoutMs, ms = 0 }: Step): Promise<JsonValue> => {
      try {
        if (what === 'list') return (await ctx.bridge.list()).map(({ server, name }) => `${server}.${name}`)
        if (what === 'tell') return (await ctx.bridge.list()).map((tool) => ({ ...tool }))
        if (what === 'pause') return await new Promise((resolve) => ctx.clock.timer(ms, () => resolve(null)))
        const [server = '', name = ''] = what.split('.')
        return { ...(await ctx.bridge.call({ server, name }, input, timeoutMs === undefined ? {} : { timeoutMs })) }
      } catch (error) {
        if (ctx.signal.aborted) throw error
        return { code: codeOf(error) ?? 'none', message: error instanceof Error ? error.message : '' }
      }
    }
    const done: JsonValue[] = []
    for (const one of steps) {
      done.push(await did(one))
      await ctx.emit({ type: 'data', name: 'step', data: one.do })
    }
    return { output: done }
  },
})

/** Calls many tools at once. */
const crowd = defineExecutor({
  version: '1',
  input: z.number(),
  output: z.array(json),
  async run({ input: count }, ctx) {
    const sums = Array.from({ length: count }, (_, n) =>
      ctx.bridge.call({ server: 'lamp', name: 'add' }, { a: n, b: 1 }),
    )
    return { output: (await Promise.all(sums)).map(({ structuredContent }) => structuredContent ?? null) }
  },
})

export const executors = { caller, crowd }
if (import.meta.main) await serveWorker({ executors })
