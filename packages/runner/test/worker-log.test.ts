/** A worker's lines: whose they are, and how many are kept. */
import { expect, test } from 'vitest'
import { WorkerLog } from '../src/placement/worker-log.ts'

test('lines belong to the runs that have the worker when they come, or to the last one that had it', () => {
  const log = new WorkerLog()
  log.add('of nobody')
  const first = log.open()
  log.add('a')
  first.end()
  log.add('late')
  expect(first.lines).toEqual(['a', 'late'])
  const second = log.open()
  log.add('b')
  const third = log.open()
  log.add('c')
  expect([first, second, third].map(({ lines }) => lines)).toEqual([['a', 'late'], ['b', 'c'], ['c']])
})

test('of what a run writes the last 64 KiB are kept, however short its lines', () => {
  const log = new WorkerLog()
  const part = log.open()
  for (let n = 0; n < 10_000; n += 1) log.add(String(n).padEnd(112))
  expect(part.lines.map(Number)).toEqual(Array.from({ length: 512 }, (_, n) => 9_488 + n))
  for (let n = 0; n < 10_000; n += 1) log.add('')
  expect(part.lines).toEqual(Array.from({ length: 4_096 }, () => ''))
})
