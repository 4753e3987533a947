import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { start, temporaryFolder } from './program.ts'

const main = fileURLToPath(new URL('first-program/main.ts', import.meta.url))

test('the first program of the README tags the commit it is run in', async () => {
  using folder = temporaryFolder()
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: folder.path, encoding: 'utf8' }).trim()
  git('init', '--quiet')
  git(
    '-c',
    'user.name=Test',
    '-c',
    'user.email=test@example.org',
    'commit',
    '--quiet',
    '--allow-empty',
    '--message',
    'first',
  )
  await using program = start(main, [], { cwd: folder.path })
  const { code, stdout, stderr } = await program.ended
  expect(stderr).toBe('')
  expect(stdout).toBe(`tagging v1\n${git('rev-parse', 'HEAD')}\n`)
  expect(code).toBe(0)
  expect(git('rev-parse', 'v1')).toBe(git('rev-parse', 'HEAD'))
})
