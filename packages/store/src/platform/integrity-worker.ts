/** The checking thread's entry: looks at the file that it is told of, says what is wrong, and ends. */
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import { problemsOf } from './integrity.ts'

function check(path: unknown): readonly string[] {
  using db = new DatabaseSync(String(path), { readOnly: true })
  return problemsOf(db)
}

parentPort?.postMessage(check(workerData))
