/**
 * The surveyor: the executor that counts a list of files and streams what it finds.
 *
 * - *S1* Every file's finding is emitted once, in `data` entries named `finding`: they outlive the surveyor. Its output is
 *   only the sum, by which the parent sees that nothing got lost on the way.
 * - *S2* An entry stays small, whatever the files are like.
 * - *S3* It says first in which process it is: of a worker that was not started there, a runner does not know.
 */
import { defineExecutor } from 'greenroom/worker'
import { z } from 'zod'
import { countFile } from './count.ts'
import { FindingBuilder } from './finding-builder.ts'
import { sum } from './tally.ts'
import { locate } from './tree.ts'

/** How much of a file is read at a time, in bytes. */
const CHUNK = 256 * 1024

/** Counts `files`, which are paths from `root`; brings back their sum. */
export const surveyor = defineExecutor({
  version: '1',
  input: z.object({ root: z.string(), files: z.array(z.string()) }),
  output: sum,
  async run({ input }, ctx) {
    const buffer = Buffer.allocUnsafeSlow(CHUNK)
    const findings = new FindingBuilder()
    const emit = async (done: number): Promise<void> => {
      for (const data of findings.take()) await ctx.emit({ type: 'data', name: 'finding', data })
      await ctx.emit({ type: 'progress', done, total: input.files.length })
    }
    await ctx.emit({ type: 'data', name: 'process', data: { pid: process.pid } })
    await emit(0)
    for (const [index, path] of input.files.entries()) {
      findings.add(path, await countFile(locate(input.root, path), buffer, ctx.signal))
      if (findings.isFull) await emit(index + 1)
    }
    await emit(input.files.length)
    return { output: findings.total, text: `counted ${findings.total.files} files` }
  },
})
