import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { listTree } from '../src/tree.ts'
import { emptyTree, madeTree } from './made-tree.ts'

const paths = (root: string): string[] => listTree(root).files.map(({ path }) => path)

describe('outside git', () => {
  test('every regular file counts, no link is followed', () => {
    using tree = madeTree()
    const found = paths(tree.root)
    expect(found).toContain('ignored.txt')
    expect(found).toContain('caf\udce9.rb')
    expect(found).toContain('new\nline\n.py')
    expect(found.filter((path) => /loop|link\.ts|dangling|round|up/.test(path))).toEqual([])
    expect(found).toHaveLength(26)
    expect(found).toEqual([...found].sort())
  })
})

describe('in git', () => {
  test('what is tracked, or untracked and not ignored, counts once', () => {
    using tree = madeTree()
    tree.git('init')
    tree.git('add', 'plain.ts', 'many.csv')
    tree.git('add', '--force', 'build/out.js')
    const found = paths(tree.root)
    expect(found).toContain('build/out.js')
    expect(found).toContain('deep/er/keep.log')
    expect(found).not.toContain('ignored.txt')
    expect(found).not.toContain('deep/er/other.log')
    expect(found).toHaveLength(23)
    expect(paths(join(tree.root, 'deep/er'))).toEqual(['.gitignore', 'keep.log', 'still'])
  })

  test('what was deleted, or replaced by a link or a folder, does not count', () => {
    using tree = emptyTree()
    for (const path of ['kept', 'deleted', 'now-a-link', 'now-a-folder', 'folder/a', 'linked/b'])
      tree.write(path, 'x\n')
    tree.git('init')
    tree.git('add', '.')
    for (const path of ['deleted', 'now-a-link', 'now-a-folder', 'linked'])
      rmSync(join(tree.root, path), { recursive: true })
    symlinkSync('kept', join(tree.root, 'now-a-link'))
    symlinkSync('folder', join(tree.root, 'linked'))
    tree.write('linked/b', 'behind a link\n')
    mkdirSync(join(tree.root, 'now-a-folder'))
    expect(paths(tree.root)).toEqual(['folder/a', 'folder/b', 'kept'])
  })

  test('a file in conflict counts once', () => {
    using tree = emptyTree()
    tree.git('init')
    const commit = (content: string): void => {
      tree.write('file', content)
      tree.git('add', '.')
      tree.git('commit', '-m', content)
    }
    commit('base')
    tree.git('checkout', '-b', 'other')
    commit('theirs')
    tree.git('checkout', 'main')
    commit('ours')
    expect(() => tree.git('merge', 'other')).toThrow('Command failed')
    expect(paths(tree.root)).toEqual(['file'])
  })

  test('a repository inside the repository is a folder, not a file', () => {
    using tree = emptyTree()
    tree.write('a', 'x')
    tree.write('inner/b', 'x')
    tree.git('init')
    tree.git('init', 'inner')
    expect(paths(tree.root)).toEqual(['a'])
    expect(paths(join(tree.root, 'inner'))).toEqual(['b'])
  })

  test('a folder of which git knows nothing counts as outside git', () => {
    using tree = emptyTree()
    tree.write('.gitignore', 'node_modules/\ndist/*\n')
    tree.write('node_modules/a/index.js', 'x\n')
    tree.write('node_modules/a/.hidden', 'x\n')
    tree.write('dist/main.js', 'x\n')
    tree.git('init')
    expect(paths(tree.root)).toEqual(['.gitignore'])
    expect(paths(join(tree.root, 'node_modules/a'))).toEqual(['.hidden', 'index.js'])
    expect(paths(join(tree.root, 'dist'))).toEqual(['main.js'])
  })

  test('a fresh repository without files has none', () => {
    using tree = emptyTree()
    tree.git('init')
    expect(paths(tree.root)).toEqual([])
  })

  test('the variables of a git hook do not lead to another repository', ({ onTestFinished }) => {
    using hook = emptyTree()
    using tree = emptyTree()
    hook.git('init')
    tree.write('a', 'x')
    process.env['GIT_DIR'] = join(hook.root, '.git')
    onTestFinished(() => void delete process.env['GIT_DIR'])
    expect(paths(tree.root)).toEqual(['a'])
  })

  test('a configuration that keeps git waiting does not keep the survey', () => {
    using tree = emptyTree()
    tree.write('a', 'x')
    tree.git('init')
    // Whoever opens it for reading waits for ever.
    execFileSync('sh', ['-c', 'mkfifo "$0"', join(tree.root, '.git/endless')])
    tree.git('config', 'include.path', 'endless')
    expect(() => listTree(tree.root, 500)).toThrow('git did not answer within 500 ms')
  })

  test('no program of the repository is run', () => {
    using tree = emptyTree()
    tree.write('a', 'x')
    tree.git('init')
    tree.git('config', 'core.fsmonitor', `touch ${tree.root}/monitor-ran; false`)
    expect(paths(tree.root)).toEqual(['a'])
    expect(paths(tree.root)).toEqual(['a'])
  })
})

test('a folder that is not there cannot be listed', () => {
  using tree = emptyTree()
  expect(() => listTree(join(tree.root, 'nowhere'))).toThrow('ENOENT')
})
