/** The program's first file, which every Node has to understand. */
import { spawnSync, type SpawnSyncReturns } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const bin = fileURLToPath(new URL('../src/bin.ts', import.meta.url))

/** Runs it, in a Node that says it is another one. */
function run(version = process.versions.node): SpawnSyncReturns<string> {
  const versions = JSON.stringify({ ...process.versions, node: version })
  const pretence = `data:text/javascript,Object.defineProperty(process, 'versions', { value: ${versions} })`
  const options = ['--conditions=@greenroom/source', '--import', pretence]
  return spawnSync(process.execPath, [...options, bin, '--version'], { encoding: 'utf8' })
}

test('an old Node is told which one is needed', () => {
  const stderr = 'greenroom: Node 24 or newer is needed, this is v20.20.2\n'
  expect(run('20.20.2')).toMatchObject({ status: 1, stdout: '', stderr })
})

test('any other runs the command', () => {
  expect(run()).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), stderr: '' })
  // Whatever is imported at the top an old Node reads before it can say anything.
  expect(readFileSync(bin, 'utf8')).not.toMatch(/^import |\busing\b/m)
})
