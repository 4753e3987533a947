#!/usr/bin/env node
/**
 * The program of `greenroom`: says which Node it needs where that is missing. The rest does not even parse there, so nothing
 * of it is imported before, and this file says nothing that an old Node does not understand.
 */
const needed = 24

if (Number.parseInt(process.versions.node, 10) < needed) {
  process.stderr.write(`greenroom: Node ${needed} or newer is needed, this is v${process.versions.node}\n`)
  process.exitCode = 1
} else await import('./cli.ts')
