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
    const args = ['tag', input.tag]
    const answer = await ctx.approve({ tool: 'git', permission: 'execute', resource: workspace, input: { args } })
    if (!answer.allowed) return ctx.fail('DENIED', answer.reason) // 'timed out' is not 'rejected'
    const git = (a: string[]) => promisify(execFile)('git', a, { cwd: workspace, signal: ctx.signal })
    await git(answer.input.args) // exactly what was approved, edits included
    return { output: { sha: (await git(['rev-parse', 'HEAD'])).stdout.trim() }, text: `tagged ${input.tag}` }
  },
})
