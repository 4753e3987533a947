import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { start, temporaryFolder } from './program.ts'
import { inTerminal } from './terminal.ts'

const main = fileURLToPath(new URL('first-program/main.ts', import.meta.url))

function repository(cwd: string): (...args: string[]) => string {
  const git = (...args: string[]): string => execFileSync('git', args, { cwd, encoding: 'utf8' }).trim()
  git('init', '--quiet')
  const author = ['-c', 'user.name=Test', '-c', 'user.email=test@example.org']
  git(...author, 'commit', '--quiet', '--allow-empty', '--message', 'first')
  return git
}

test('the first program of the README asks, and tags the commit it is run in', async () => {
  using folder = temporaryFolder()
  const git = repository(folder.path)
  const command = `'${process.execPath}' --conditions=@greenroom/source '${main}'`
  const { seen, code } = await inTerminal(command, ['y'], { cwd: folder.path })
  expect(seen).toContain('tagging v1')
  expect(seen).toContain(`releaser wants to use git (execute) on ${folder.path}`)
  expect(seen.trim().split(/\s+/).at(-1)).toBe(git('rev-parse', 'HEAD'))
  expect(code).toBe(0)
  expect(git('rev-parse', 'v1')).toBe(git('rev-parse', 'HEAD'))
})

test('where nobody can be asked it is denied, and says so', async () => {
  using folder = temporaryFolder()
  const git = repository(folder.path)
  await using program = start(main, [], { cwd: folder.path })
  const { stdout } = await program.ended
  expect(stdout).toContain('tagging v1')
  expect(stdout).toMatch(/code: 'DENIED'/)
  expect(stdout).toMatch(/there is no terminal/)
  expect(git('tag')).toBe('')
})
