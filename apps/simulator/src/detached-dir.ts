/** The folder that runners name files in for the output of detached workers. Theirs write none. */
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** This process's own; a runner makes it when it needs it. */
export const detachedDir = join(tmpdir(), `greenroom-simulator-${process.pid}`)

process.once('exit', () => rmSync(detachedDir, { recursive: true, force: true }))
