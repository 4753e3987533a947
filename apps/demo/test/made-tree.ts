/** A folder of everything that is hard to count right; gone with its scope. */
import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export interface MadeTree extends Disposable {
  readonly root: string
  /** Adds a file, with its folders. */
  write(path: string, content: string | Buffer): void
  /** Runs git in the tree. */
  git(...args: string[]): void
}

/** A new empty folder. */
export function emptyTree(): MadeTree {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'greenroom-demo-')))
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_')))
  const env = { ...clean, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }
  return {
    root,
    write(path, content) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), content)
    },
    git(...args) {
      const who = ['-c', 'user.name=Test', '-c', 'user.email=test@example.org', '-c', 'commit.gpgsign=false']
      execFileSync('git', ['-c', 'init.defaultBranch=main', ...who, ...args], { cwd: root, env, stdio: 'pipe' })
    },
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  }
}

/** A tree that takes seconds to survey: one big file under many names. */
export function slowTree(): MadeTree {
  const tree = emptyTree()
  tree.write('0.txt', 'a line that is neither short nor long\n'.repeat(1_000_000))
  for (let n = 1; n < 20; n++) linkSync(join(tree.root, '0.txt'), join(tree.root, `${n}.txt`))
  return tree
}

/** Text, then a NUL byte at this offset, then more text. */
const withNulAt = (offset: number): Buffer =>
  Buffer.concat([Buffer.from('line\n'.repeat(2000)).subarray(0, offset), Buffer.of(0), Buffer.from('more\nlines\n')])

/** A tree of strange names, contents, links and ignore files. Not a repository yet. */
export function madeTree(): MadeTree {
  const tree = emptyTree()
  tree.write('plain.ts', 'const a = 1\n// TODO: more\nconst b = 2\n')
  tree.write('grüße/日本語 🎉.md', '# Hallo\n\nFIXME ümlaut\n')
  tree.write('with space/and "quotes" and \\ and `tick`.txt', 'one\ntwo\n')
  tree.write('new\nline\n.py', 'print(1)\nprint(2)\n\n')
  tree.write('tab\tand\u001b[31mred.js', 'x\n')
  tree.write('-dash', '-\n')
  writeFileSync(
    Buffer.concat([Buffer.from(`${tree.root}/caf`), Buffer.of(0xe9), Buffer.from('.rb')]),
    'puts 1\nputs 2\n',
  )
  tree.write('empty.txt', '')
  tree.write('no-newline.txt', 'TODO at the very end, FIXME')
  tree.write('crlf.txt', 'one\r\ntwo\r\n\r\n')
  tree.write('old-mac.txt', 'one\rtwo\r')
  tree.write('nul-at-8191.bin', withNulAt(8191))
  tree.write('nul-at-8192.txt', withNulAt(8192))
  tree.write('nul-first.bin', withNulAt(0))
  tree.write('image.png', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 10, 10]))
  tree.write('marks.c', '// MASTODON\n//TODO\n/* xTODO */\n/* TODOs */\n_FIXME_\nFIXME!\néTODOé\nTODO_LATER\n')
  tree.write('long-line.js', `${'x'.repeat(300_000)} TODO ${'y'.repeat(300_000)}\nend\n`)
  tree.write('many.csv', '1;2;3\n'.repeat(100_000))
  tree.write('.gitignore', 'ignored.txt\nbuild/\n*.log\n')
  tree.write('ignored.txt', 'ignored\n')
  tree.write('build/out.js', 'built\n')
  tree.write('deep/er/.gitignore', '!keep.log\nsecret*\n')
  tree.write('deep/er/keep.log', 'kept\n')
  tree.write('deep/er/other.log', 'not kept\n')
  tree.write('deep/er/secret-1', 's\n')
  tree.write('deep/er/still', 'here\n')
  symlinkSync('.', join(tree.root, 'loop'))
  symlinkSync('../..', join(tree.root, 'deep/er/up'))
  symlinkSync('plain.ts', join(tree.root, 'link.ts'))
  symlinkSync('nowhere', join(tree.root, 'dangling'))
  symlinkSync('round-2', join(tree.root, 'round-1'))
  symlinkSync('round-1', join(tree.root, 'round-2'))
  return tree
}
