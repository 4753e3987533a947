/**
 * The surveyor: the executor that counts a list of files and streams what it finds.
 *
 * - *S1* Every file's finding is emitted once, in `data` entries named `finding`: they outlive the surveyor. Its output is
 *   only the sum, by which the parent sees that nothing got lost on the way.
 * - *S2* An entry stays small, whatever the files are like.
 * - *S3* It says first in which process it is: of a worker that was not started there, a runner does not know.
 * - *S4* One that may have children, and has enough to do, gives them parts of its list, names each in an entry `child`, and counts
 *   its own part meanwhile. The findings of each are its own; the sums of those that completed are added to its parent's.
 */
import type { ChildRef } from '@greenroom/proto'
import { defineExecutor, type RunContext } from 'greenroom/worker'
import { z } from 'zod'
import { countFile } from './count.ts'
import { FindingBuilder } from './finding-builder.ts'
import { splitUp } from './share.ts'
import { plus, sum, type Sum } from './tally.ts'
import { locate, measured } from './tree.ts'

/** How much of a file is read at a time, in bytes. */
const CHUNK = 256 * 1024

const order = z.object({
  root: z.string(),
  /** Paths from there. */
  files: z.array(z.string()),
  /** How many generations of surveyors there may be from here on: 1 is itself alone. */
  depth: z.int().positive(),
})

/** Counts `files`, which are paths from `root`; brings back their sum. */
export const surveyor = defineExecutor({
  version: '2',
  input: order,
  output: sum,
  async run({ input: { root, files, depth } }, ctx) {
    await ctx.emit({ type: 'data', name: 'process', data: { pid: process.pid } })
    const [own = [], ...parts] = depth > 1 ? splitUp(measured(root, files)) : [files]
    const children = await spawn(ctx, root, parts, depth - 1)
    const counted = await count(ctx, root, own)
    const brought = await sumsOf(ctx, children)
    const text = children.length === 0 ? '' : `, and ${brought.length} of ${children.length} children did`
    return { output: brought.reduce(plus, counted), text: `counted ${counted.files} files${text}` }
  },
})

/** S4; the largest part may be split once more. */
function spawn(ctx: RunContext, root: string, parts: readonly string[][], depth: number): Promise<ChildRef[]> {
  return Promise.all(
    parts.map(async (files, at) => {
      const input = { root, files, depth: at === 0 ? depth : 1 }
      const child = await ctx.children.spawn({
        role: 'surveyor',
        task: 'Count a part of these',
        input,
        key: `part ${at}`,
      })
      await ctx.emit({ type: 'data', name: 'child', data: { runId: child.runId, files: files.length } })
      return child
    }),
  )
}

async function count(ctx: RunContext, root: string, files: readonly string[]): Promise<Sum> {
  const buffer = Buffer.allocUnsafeSlow(CHUNK)
  const findings = new FindingBuilder()
  const emit = async (done: number): Promise<void> => {
    for (const data of findings.take()) await ctx.emit({ type: 'data', name: 'finding', data })
    await ctx.emit({ type: 'progress', done, total: files.length })
  }
  await emit(0)
  for (const [index, path] of files.entries()) {
    findings.add(path, await countFile(locate(root, path), buffer, ctx.signal))
    if (findings.isFull) await emit(index + 1)
  }
  await emit(files.length)
  return findings.total
}

/** What those brought back that completed. */
async function sumsOf(ctx: RunContext, children: readonly ChildRef[]): Promise<Sum[]> {
  if (children.length === 0) return []
  const ended = await ctx.children.wait(children)
  return ended.flatMap(({ outcome }) => (outcome.status === 'completed' ? sum.parse(outcome.output) : []))
}
