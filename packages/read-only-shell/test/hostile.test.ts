/** Repositories and folders that were made to harm whoever looks at them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createReadOnlyShell } from '../src/index.ts'
import { allowedCorpus } from './corpus.ts'
import { createScratches, type Scratch, type Scratches } from './scratch.ts'

const shell = createReadOnlyShell()

function commandOf(text: string): string {
  const verdict = shell.check(text)
  if (!verdict.allowed) throw new Error(`${text}: ${verdict.reason}`)
  return verdict.command
}

let scratches: Scratches
beforeAll(() => {
  scratches = createScratches()
})
// Many folders, on a disk that may be busy.
afterAll(() => scratches.remove(), 60_000)

/** What a repository was made to do, and a command line that makes it do so as it is typed. */
interface Trap {
  readonly name: string
  readonly lay: (scratch: Scratch) => void
  readonly text: string
}

const config =
  (...settings: readonly (readonly [string, string])[]) =>
  ({ git }: Scratch): void => {
    for (const [name, value] of settings) git('config', name, value)
  }

function layDriver(scratch: Scratch, attribute: string, setting: string): void {
  scratch.write('.gitattributes', `*.txt ${attribute}=t\n`)
  scratch.git('config', setting, './evil.sh')
}

/** A repository within the repository, as a submodule of two commits. */
function laySubmodule(scratch: Scratch, settings: readonly (readonly [string, string])[]): void {
  const { git, write } = scratch
  git('clone', '-q', '.', 'sub')
  git('-C', 'sub', 'checkout', '-q', 'HEAD~1')
  git('add', 'sub')
  git('commit', '-q', '-m', 'a submodule')
  git('-C', 'sub', 'checkout', '-q', 'main')
  git('add', 'sub')
  git('commit', '-q', '-m', 'a newer one')
  write('sub/a.txt', 'dirty\n')
  for (const [name, value] of settings) git('-C', 'sub', 'config', name, value)
}

/** A commit with a file that is not there, and a remote that is asked for it by a program. */
function layPartial(scratch: Scratch, url: string): void {
  const { git, write } = scratch
  write('tree.txt', `100644 blob ${'1'.repeat(40)}\tabsent.txt\n`)
  const tree = scratch.run('sh', 'git mktree --missing < tree.txt').stdout.trim()
  git('update-ref', 'refs/heads/partial', git('commit-tree', tree, '-m', 'partial'))
  config(
    ['core.repositoryFormatVersion', '1'],
    ['extensions.partialClone', 'origin'],
    ['remote.origin.promisor', 'true'],
    ['remote.origin.url', url],
    ['remote.origin.uploadpack', './evil.sh'],
    ['protocol.allow', 'always'],
    ['protocol.ext.allow', 'always'],
    ['protocol.file.allow', 'always'],
  )(scratch)
}

const evil = './evil.sh'

const traps: readonly Trap[] = [
  { name: 'core.fsmonitor', lay: config(['core.fsmonitor', evil]), text: 'git status' },
  { name: 'core.fsmonitor, by diff', lay: config(['core.fsmonitor', evil]), text: 'git diff' },
  { name: 'core.fsmonitor, by ls-files', lay: config(['core.fsmonitor', evil]), text: 'git ls-files -o' },
  {
    name: 'core.fsmonitor, by -C',
    lay: config(['core.fsmonitor', '../evil.sh; ./evil.sh']),
    text: 'git -C src status',
  },
  { name: 'core.fsmonitor, by cd', lay: config(['core.fsmonitor', './evil.sh']), text: 'cd src && git status' },
  { name: 'diff.external', lay: config(['diff.external', evil]), text: 'git diff HEAD~1' },
  { name: 'a diff driver', lay: (scratch) => layDriver(scratch, 'diff', 'diff.t.command'), text: 'git diff HEAD~1' },
  {
    name: 'textconv, by diff',
    lay: (scratch) => layDriver(scratch, 'diff', 'diff.t.textconv'),
    text: 'git diff HEAD~1',
  },
  { name: 'textconv, by log', lay: (scratch) => layDriver(scratch, 'diff', 'diff.t.textconv'), text: 'git log -p' },
  { name: 'textconv, by show', lay: (scratch) => layDriver(scratch, 'diff', 'diff.t.textconv'), text: 'git show' },
  {
    name: 'textconv, by -S',
    lay: (scratch) => layDriver(scratch, 'diff', 'diff.t.textconv'),
    text: 'git log -S third',
  },
  {
    name: 'textconv, by blame',
    lay: (scratch) => layDriver(scratch, 'diff', 'diff.t.textconv'),
    text: 'git blame a.txt',
  },
  {
    name: 'filter.clean, by status',
    lay: (scratch) => layDriver(scratch, 'filter', 'filter.t.clean'),
    text: 'git status',
  },
  { name: 'filter.clean, by diff', lay: (scratch) => layDriver(scratch, 'filter', 'filter.t.clean'), text: 'git diff' },
  {
    name: 'filter.clean, by blame',
    lay: (scratch) => layDriver(scratch, 'filter', 'filter.t.clean'),
    text: 'git blame b.txt',
  },
  { name: 'filter.process', lay: (scratch) => layDriver(scratch, 'filter', 'filter.t.process'), text: 'git diff' },
  {
    name: 'filter.clean in an included file',
    lay: (scratch) => {
      scratch.write('.gitattributes', '*.txt filter=t\n')
      scratch.write('.git/more', '[filter "t"]\n\tclean = ./evil.sh\n')
      scratch.git('config', 'include.path', 'more')
    },
    text: 'git status -s',
  },
  ...[['gitdir:**'], ['onbranch:main'], ['hasconfig:remote.*.url:**', 'https://example.com/x']].map(
    ([condition = '', url]): Trap => ({
      name: `filter.clean in a file that is included by ${condition}`,
      lay: (scratch) => {
        scratch.write('.gitattributes', '*.txt filter=t\n')
        scratch.write('.git/more', '[filter "t"]\n\tclean = ./evil.sh\n')
        if (url !== undefined) scratch.git('config', 'remote.x.url', url)
        scratch.git('config', `includeIf.${condition}.path`, 'more')
      },
      text: 'git status -s',
    }),
  ),
  {
    name: 'filter.clean in the configuration of a worktree',
    lay: (scratch) => {
      scratch.write('.gitattributes', '*.txt filter=t\n')
      scratch.git('config', 'extensions.worktreeConfig', 'true')
      scratch.git('config', '--worktree', 'filter.t.clean', evil)
    },
    text: 'git status -s',
  },
  {
    name: 'filter.clean, spelled otherwise',
    lay: (scratch) => {
      scratch.write('.gitattributes', '*.txt filter=T.t\n')
      scratch.git('config', 'include.path', 'more')
      scratch.write('.git/more', '[FilTer "T.t"]\n\tCLEAN = ./evil.sh\n')
    },
    text: 'git diff',
  },
  {
    name: 'filter.clean by .git/info/attributes',
    lay: (scratch) => {
      scratch.write('.git/info/attributes', '*.txt filter=t\n')
      scratch.git('config', 'filter.t.clean', evil)
    },
    text: 'git -C src diff',
  },
  {
    name: 'gpg.program and log.showSignature',
    lay: config(['gpg.program', evil], ['log.showSignature', 'true']),
    text: 'git log signed',
  },
  {
    name: 'gpg.program and a format that asks for it',
    lay: config(['gpg.program', evil], ['format.pretty', 'format:%G?']),
    text: 'git log signed',
  },
  { name: 'a format that asks for gpg', lay: config(['gpg.program', evil]), text: "git show --format='%G?' signed" },
  { name: 'gpg.openpgp.program', lay: config(['gpg.openpgp.program', evil]), text: "git log --format='%GS' -1 signed" },
  {
    name: 'the configuration of a submodule',
    lay: (scratch) => laySubmodule(scratch, [['core.fsmonitor', '../evil.sh']]),
    text: 'git status',
  },
  {
    name: 'the configuration of a submodule, by diff',
    lay: (scratch) => laySubmodule(scratch, [['core.fsmonitor', '../evil.sh']]),
    text: 'git diff',
  },
  ...['git status', 'git diff'].map((text): Trap => ({
    name: `filter.clean of a submodule, by ${text}`,
    lay: (scratch) => {
      laySubmodule(scratch, [['filter.t.clean', '../evil.sh']])
      scratch.git('-C', 'sub', 'checkout', '-q', '--', 'a.txt')
      scratch.write('sub/.git/info/attributes', '*.txt filter=t\n')
      scratch.run('sh', 'touch -d 2020-01-01 sub/a.txt')
    },
    text,
  })),
  {
    name: 'diff.submodule and the external diff of the submodule',
    lay: (scratch) => {
      laySubmodule(scratch, [['diff.external', '../evil.sh']])
      scratch.git('config', 'diff.submodule', 'diff')
    },
    text: 'git show',
  },
  {
    name: 'a partial clone whose remote is a program',
    lay: (scratch) => layPartial(scratch, 'ext::./evil.sh'),
    text: 'git show partial:absent.txt',
  },
  {
    name: 'a partial clone whose remote is packed by a program',
    lay: (scratch) => layPartial(scratch, '.'),
    text: 'git log -p partial',
  },
  {
    name: 'post-index-change',
    lay: (scratch) => scratch.write('.git/hooks/post-index-change', '#!/bin/sh\n: > "$PWNED"\n', 0o755),
    text: 'touch -d 2020-01-01 README.md 2>/dev/null; git status',
  },
  { name: 'an option as a file name, sort', lay: ({ write }) => write('-opwned', ''), text: 'sort *' },
  { name: 'an option as a file name, git', lay: ({ write }) => write('--output=pwned', ''), text: 'git log -p *' },
  { name: 'an option as a file name, in brackets', lay: ({ write }) => write('-opwned', ''), text: 'sort [!x]*' },
  { name: 'an option as a file name, find', lay: ({ write }) => write('-delete', ''), text: 'find [!a-zA-Z]*' },
]

const harmless = (text: string): string => text.replace(/^touch [^;]*; /, '')

describe('a trap that the text itself walks into', () => {
  for (const { name, lay, text } of traps) {
    it(name, { timeout: 60_000 }, () => {
      const scratch = scratches.fresh()
      lay(scratch)
      for (const program of ['sh', 'bash']) {
        scratch.run(program, commandOf(harmless(text)))
        expect(scratch.changes()).toEqual([])
      }
      scratch.run('sh', text)
      expect(scratch.changes().filter((path) => path !== 'repository/.git/index')).not.toEqual([])
    })
  }

  it('says why git did not run where filters are configured', () => {
    const scratch = scratches.fresh()
    layDriver(scratch, 'filter', 'filter.t.clean')
    expect(scratch.run('sh', commandOf('git status'))).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^not run: this repository configures filters/),
    })
    expect(scratch.run('sh', commandOf('git log --oneline -1')).stdout).toMatch(/second/)
  })
})

it.runIf(process.platform === 'linux')('a pager of the repository is not run on a terminal', () => {
  const scratch = scratches.fresh()
  scratch.git('config', 'core.pager', evil)
  scratch.git('config', 'pager.status', evil)
  for (const text of ['git log', 'git status', 'git branch -a']) {
    scratch.write('typed.sh', text)
    scratch.write('written.sh', commandOf(text))
    scratch.run('sh', "script -qec 'sh written.sh' /dev/null")
    expect(scratch.changes(), text).toEqual([])
  }
  scratch.run('sh', "script -qec 'git log' /dev/null")
  expect(scratch.changes()).toContain('pwned')
})

describe('all honest command lines, where all traps are laid', () => {
  const layAll = (scratch: Scratch, filters: boolean): void => {
    laySubmodule(scratch, [
      ['core.fsmonitor', '../evil.sh'],
      ['diff.external', '../evil.sh'],
    ])
    layPartial(scratch, 'ext::./evil.sh')
    for (const path of ['-opwned', '--output=pwned', '-delete', '-fprint', '-exec', '-rf', '--help'])
      scratch.write(path, '')
    scratch.write('.gitattributes', `*.txt diff=t${filters ? ' filter=t' : ''}\n*.md diff=t\n*.ts diff=t\n`)
    config(
      ['core.fsmonitor', evil],
      ['core.pager', evil],
      ['core.editor', evil],
      ['core.hooksPath', '.'],
      ['alias.log', `!${evil}`],
      ['alias.status', `!${evil}`],
      ['diff.external', evil],
      ['diff.t.textconv', evil],
      ['diff.submodule', 'diff'],
      ['status.submoduleSummary', 'true'],
      ['submodule.recurse', 'true'],
      ['gpg.program', evil],
      ['log.showSignature', 'true'],
      ['column.ui', 'always'],
      ['credential.helper', evil],
      ['core.sshCommand', evil],
      ['core.alternateRefsCommand', evil],
      ...(filters ? ([['filter.t.clean', evil]] as const) : []),
    )(scratch)
  }

  for (const filters of [false, true]) {
    it(filters ? 'filters too' : 'but filters', { timeout: 240_000 }, () => {
      const scratch = scratches.fresh()
      layAll(scratch, filters)
      // The others read neither a repository nor whatever is there.
      const texts = allowedCorpus().filter(({ text }) => /git|rg|find|[*?[]/.test(text))
      for (const { text } of texts) {
        scratch.run('sh', commandOf(text))
        expect(scratch.changes(), text).toEqual([])
      }
    })
  }
})
