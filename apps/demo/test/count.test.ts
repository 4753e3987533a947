import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { countFile } from '../src/count.ts'
import { emptyTree } from './made-tree.ts'

const buffer = Buffer.alloc(65_536)
const isRoot = process.getuid?.() === 0

test('a file is counted in chunks', async () => {
  using tree = emptyTree()
  tree.write('file', 'a line\n'.repeat(100_000))
  const path = Buffer.from(join(tree.root, 'file'))
  for (const size of [1000, 65_536, 10_000_000]) {
    expect(await countFile(path, Buffer.alloc(size))).toMatchObject({
      status: 'counted',
      lines: 100_000,
      bytes: 700_000,
    })
  }
})

test('what is gone, or no regular file any more, has vanished: nothing is followed or waited for', async () => {
  using tree = emptyTree()
  tree.write('file', 'x\n')
  symlinkSync('file', join(tree.root, 'link'))
  mkdirSync(join(tree.root, 'folder'))
  execFileSync('sh', ['-c', 'mkfifo "$0"', join(tree.root, 'pipe')])
  for (const name of ['nowhere', 'file/below', 'link', 'folder', 'pipe']) {
    expect(await countFile(Buffer.from(join(tree.root, name)), buffer), name).toEqual({ status: 'vanished' })
  }
})

test('a file that cannot be read has its size', async () => {
  using tree = emptyTree()
  tree.write('file', 'secret\n')
  chmodSync(join(tree.root, 'file'), 0)
  // Root may read every file, but nobody the memory at address 0.
  const path = isRoot ? '/proc/self/mem' : join(tree.root, 'file')
  expect(await countFile(Buffer.from(path), buffer)).toEqual({ status: 'unreadable', bytes: isRoot ? 0 : 7 })
})

test('counting stops with its signal', async () => {
  using tree = emptyTree()
  tree.write('file', 'x\n')
  const reason = new Error('enough')
  await expect(countFile(Buffer.from(join(tree.root, 'file')), buffer, AbortSignal.abort(reason))).rejects.toBe(reason)
})
