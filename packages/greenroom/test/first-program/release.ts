/** A custom executor: tags the commit of its workspace. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { defineExecutor } from 'greenroom/worker'
import { z } from 'zod'

export const release = defineExecutor({
  version: '1',
  input: z.object({ tag: z.string() }),
  output: z.object({ sha: z.string() }),
  async run({ input, workspace }, ctx) {
    await ctx.emit({ type: 'text-delta', text: `tagging ${input.tag}\n` })
    const git = (args: string[]) => promisify(execFile)('git', args, { cwd: workspace, signal: ctx.signal })
    await git(['tag', input.tag])
    return { output: { sha: (await git(['rev-parse', 'HEAD'])).stdout.trim() }, text: `tagged ${input.tag}` }
  },
})
