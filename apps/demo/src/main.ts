/**
 * `npm start`: surveys a folder with child sessions.
 *
 * - `arguments` the command line · `tree` which files · `share` who counts which · `survey` the parent ·
 *   `child` following one · `surveyor`, `historian`, `worker` the children · `count`, `line-scanner`, `finding-builder` what a surveyor does ·
 *   `tally` adding up · `history` what the historian reads
 * - `places` where children work · `resident`, `certificate` those that are not local · `own-folder` what all of it leaves
 * - `live-view` standard error · `approver` questions · `report`, `markdown` standard output and JSON · `file-name`,
 *   `language` names
 *
 * Exit code: 0 when every child completed, or was not allowed to; 1 when one did not or something failed, 2 for bad input, 130 after
 * Ctrl-C (128 + the signal's number).
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'greenroom'
import { approver } from './approver.ts'
import { BadInput, readArguments } from './arguments.ts'
import { visible } from './file-name.ts'
import { historyLine } from './history-report.ts'
import { openLiveView, type LiveView } from './live-view.ts'
import { stopOnSignals } from './stop.ts'
import { markdown, reportOf } from './report.ts'
import { failureOf, survey } from './survey.ts'
import { listTree, type Tree } from './tree.ts'

/** Nobody finds a pid and types `kill -9` within so many milliseconds. */
const SHORT = 5_000
const LONGER = 'Was that too quick to kill one? Survey something large: npm start -- /usr'

const repository = fileURLToPath(new URL('../../..', import.meta.url))

async function main(): Promise<number> {
  // npm changes to the package's folder first; where it was called from is in INIT_CWD.
  const asked = readArguments(process.argv.slice(2), process.env['INIT_CWD'] ?? process.cwd(), repository)
  if (asked === undefined) return 0
  const { root, json, yes } = asked
  const tree = treeOf(root)
  const view = openLiveView(process.stderr)
  const start = performance.now()
  using stop = stopOnSignals(view)
  try {
    const surveyed = await survey({
      ...asked,
      tree,
      approvals: approver(yes, view),
      signal: stop.signal,
      logger: loggerTo(view),
      onChange: view.update,
      onHistory: (historian) => view.say(historyLine(historian)),
    })
    if (stop.exitCode !== undefined) return stop.exitCode
    view.close()
    process.stdout.write(markdown(root, tree, surveyed))
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(reportOf(surveyed), null, 2)}\n`)
    const { children, historian } = surveyed
    const isComplete = failureOf(historian) === undefined && children.every(({ problem }) => problem === undefined)
    if (isComplete && process.stderr.isTTY && performance.now() - start < SHORT) view.say(LONGER)
    return isComplete ? 0 : 1
  } finally {
    view.close()
  }
}

function treeOf(root: string): Tree {
  let tree: Tree
  try {
    tree = listTree(root)
  } catch (error) {
    throw new BadInput(`${error instanceof Error ? error.message : String(error)}: ${visible(root)}`)
  }
  if (tree.files.length === 0) throw new BadInput(`no files to survey in ${visible(root)}`)
  return tree
}

/** What workers and the runner say goes between the rows, not through them. */
const loggerTo = (view: LiveView): Logger => ({
  warn: (message) => view.say(message),
  output: (source, line) => view.say(`${source}: ${line}`),
})

// Whoever reads along may stop reading (`| head`): no reason to fail.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })

try {
  process.exitCode = await main()
} catch (error) {
  const message = error instanceof Error ? error.message : String(error)
  process.stderr.write(`greenroom: ${visible(message)}\n`)
  process.exitCode = error instanceof BadInput ? 2 : 1
}
