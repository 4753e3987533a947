/**
 * A folder for the survey's own data, which goes with it, however it ends.
 *
 * - *O1* It is made after the tree was listed, and outside of it as a rule: a survey never counts its own data.
 * - *O2* Whatever this program and its children make among the temporary files lies in it, too (`TMPDIR`): sockets, for
 *   example.
 * - *O3* A small `sh`, which waits for the end of a pipe that only this program holds, removes it where this program cannot:
 *   after `kill -9`. It repeats that until the guards have ended all who still write there.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** `$1` is the folder. */
const script = `
trap '' HUP INT TERM
read -r rest
for pause in 0.5 0.5 1 1 2; do
  [ -e "$1" ] || exit 0
  sleep "$pause"
  rm -rf -- "$1"
done
`

/** Makes the folder. */
export function ownFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'greenroom-survey-'))
  const { TMPDIR: before } = process.env
  process.env['TMPDIR'] = path
  const sweeper = spawn('/bin/sh', ['-c', script, 'greenroom-sweeper', path], {
    detached: true,
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  for (const one of [sweeper, sweeper.stdin]) one.on('error', () => undefined)
  sweeper.unref()
  if (sweeper.stdin instanceof Socket) sweeper.stdin.unref()
  const remove = (): void => rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  process.once('exit', remove)
  return {
    path,
    [Symbol.dispose]() {
      process.off('exit', remove)
      if (before === undefined) delete process.env['TMPDIR']
      else process.env['TMPDIR'] = before
      remove()
      sweeper.stdin.end()
    },
  }
}
