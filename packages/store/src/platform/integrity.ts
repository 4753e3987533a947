/** SQLite's own check of pages and indexes. It reads all of the file, so a store at work has it done by a thread. */
import type { DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { messageOf } from '../error.ts'

/** Problems that one check tells at most. */
const mostProblems = 20

/** Beside this file: as a source when this is a source, built when this is built. */
const entry = new URL(
  import.meta.url.endsWith('.ts') ? './integrity-worker.ts' : './integrity-worker.js',
  import.meta.url,
)

/** What SQLite writes above its findings: it says nothing of them. */
const heading = /^\*\*\* in database \S+ \*\*\*$/

/**
 * What is wrong with pages and indexes, at most 20 lines.
 *
 * @internal
 */
export function problemsOf(db: DatabaseSync): readonly string[] {
  try {
    const rows = db.prepare(`PRAGMA integrity_check(${mostProblems})`).all()
    const lines = rows.flatMap((row) => String(Object.values(row)[0]).split('\n'))
    return lines.filter((line) => line !== 'ok' && !heading.test(line)).slice(0, mostProblems)
  } catch (error) {
    return [messageOf(error)]
  }
}

/**
 * The same of a file that nobody writes, by a thread of its own.
 *
 * @throws whatever keeps the thread from looking, by rejection
 * @internal
 */
export function problemsOfFile(path: string): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(entry, { workerData: path, name: 'greenroom-integrity' })
    worker.once('message', (lines: unknown) => {
      if (Array.isArray(lines)) resolve(lines.map(String))
    })
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('the check of the copy ended without a word')))
  })
}
