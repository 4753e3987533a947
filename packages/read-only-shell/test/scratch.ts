/**
 * A folder to run command lines in: a small repository, a home, and scripts that leave a mark when they are run.
 *
 * Made once and copied for each command line. Its environment has nothing of the machine's but the path.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Only in the environment: printing it is a leak. */
export const secret = 's3cret-of-the-environment'

/** How a command line ended. */
export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A copy of the folder. */
export interface Scratch {
  /** The repository, where command lines run. */
  readonly repository: string
  /** Writes a file, with its folders, below the repository. */
  readonly write: (path: string, text: string, mode?: number) => void
  /** Runs git there, as its user would. */
  readonly git: (...args: string[]) => string
  /** Runs a command line there. */
  readonly run: (shell: string, text: string) => Ran
  /** What is not as it was when it was opened or last written to: paths, `repository/a.txt` and so on. */
  readonly changes: () => string[]
  /** Makes it as it was made, again. */
  readonly restore: () => void
}

type Look = ReadonlyMap<string, string>

function look(root: string, into = new Map<string, string>(), below = ''): Look {
  for (const name of readdirSync(join(root, below))) {
    const path = join(below, name)
    const stat = lstatSync(join(root, path))
    const content = stat.isFile()
      ? createHash('sha1')
          .update(readFileSync(join(root, path)))
          .digest('hex')
      : stat.isSymbolicLink()
        ? readlinkSync(join(root, path))
        : ''
    into.set(path, `${stat.mode} ${content}`)
    if (stat.isDirectory()) look(root, into, path)
  }
  return into
}

function differences(before: Look, after: Look): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].filter((path) => before.get(path) !== after.get(path))
}

function open(root: string, template: string): Scratch {
  const repository = join(root, 'repository')
  const env = {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    HOME: join(root, 'home'),
    LC_ALL: 'C.UTF-8',
    PWNED: join(root, 'pwned'),
    SECRET_FOR_TEST: secret,
    SHELL_FOR_TEST: '/bin/sh',
    FLAG_FOR_TEST: '--output=pwned',

    GIT_AUTHOR_DATE: '2026-01-02T03:04:05Z',
    GIT_COMMITTER_DATE: '2026-01-02T03:04:05Z',
  }
  let before = look(root)
  const options = { cwd: repository, env, encoding: 'utf8', timeout: 10_000, maxBuffer: 2 ** 26 } as const
  return {
    repository,
    write(path, text, mode = 0o644) {
      mkdirSync(join(repository, path, '..'), { recursive: true })
      writeFileSync(join(repository, path), text)
      chmodSync(join(repository, path), mode)
      before = look(root)
    },
    git(...args) {
      const printed = execFileSync('git', args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
      before = look(root)
      return printed.trim()
    },
    run(shell, text) {
      const { status, stdout, stderr } = spawnSync(shell, ['-c', text], {
        ...options,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      return { code: status, stdout, stderr }
    },
    changes: () => differences(before, look(root)),
    restore() {
      before = look(template)
      for (const path of differences(before, look(root))) {
        rmSync(join(root, path), { recursive: true, force: true })
        if (before.has(path))
          cpSync(join(template, path), join(root, path), { recursive: true, preserveTimestamps: true })
      }
    },
  }
}

/** Leaves its mark, whatever it is run for. */
const evil = '#!/bin/sh\n: > "$PWNED"\n'

function fill(scratch: Scratch): void {
  const { write, git } = scratch
  git('init', '-q', '-b', 'main', '--template=')
  write('a.txt', 'first\n')
  write('b.txt', 'second\n')
  write('README.md', '# A project\n\nTODO: say more\n')
  write('package.json', '{ "name": "project", "scripts": { "test": "true" }, "dependencies": { "zod": "4" } }\n')
  write('src/x.ts', '// TODO: less\nimport { y } from "./y.ts"\nexport const x = y + 1\n')
  write('src/y.ts', 'export const y = 1\n')
  write('docs/guide.md', '# Guide\n')
  git('add', '.')
  git('commit', '-q', '-m', 'first')
  git('branch', 'other')
  write('a.txt', 'first\nthird\n')
  git('commit', '-q', '-a', '-m', 'second')
  git('tag', 'v1')
  git('remote', 'add', 'origin', '.')
  // Not committed: changes, and the scripts.
  write('b.txt', 'second\nchanged\n')
  write('evil.sh', evil, 0o755)
  write('bin/ls', evil, 0o755)
  write('bin/git-evil', evil, 0o755)
  write('evil.txt', './evil.sh\n')
  write('evil-names.txt', 'pwned\n')
  write('evil.sed', 'w pwned\n')
  write('evil.attributes', '*.txt diff=t filter=t\n')
  write('evil.gitconfig', '[core]\n\tfsmonitor = ./evil.sh\n')
  write('big.txt', Array.from({ length: 4000 }, (_, index) => `line ${(index * 7919) % 4001}\n`).join(''))
  mkdirSync(join(scratch.repository, 'empty'))
  sign(scratch)
  git('repack', '-adq')
  write('hostile.git/HEAD', 'ref: refs/heads/main\n')
  write('hostile.git/refs/heads/main', `${git('rev-parse', 'HEAD')}\n`)
  write('hostile.git/objects/info/alternates', `../../.git/objects\n`)
  write('hostile.git/config', '[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfsmonitor = ./evil.sh\n')
}

/** A commit with a signature, at the branch `signed`: whoever looks at it runs a program. */
function sign({ repository, write, git }: Scratch): void {
  const [tree = '', ...rest] = git('cat-file', '-p', 'HEAD').split('\n')
  const head = rest.findIndex((line) => line === '')
  const lines = [
    tree,
    ...rest.slice(0, head),
    'gpgsig -----BEGIN PGP SIGNATURE-----',
    ' ',
    ' x',
    ' -----END PGP SIGNATURE-----',
  ]
  write('.git/signed', `${[...lines, '', 'signed'].join('\n')}\n`)
  git('update-ref', 'refs/heads/signed', git('hash-object', '-t', 'commit', '-w', '.git/signed'))
  rmSync(join(repository, '.git/signed'))
}

/** Makes folders, all alike. */
export interface Scratches {
  /** A copy as it was made. */
  fresh(): Scratch
  remove(): void
}

export function createScratches(): Scratches {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'greenroom-shell-')))
  const template = join(root, 'template')
  mkdirSync(join(template, 'repository'), { recursive: true })
  mkdirSync(join(template, 'home'))
  writeFileSync(join(template, 'home', '.gitconfig'), '[user]\n\tname = A Person\n\temail = person@example.com\n')
  fill(open(template, template))
  let count = 0
  return {
    fresh() {
      count += 1
      const copy = join(root, String(count))
      cpSync(template, copy, { recursive: true, preserveTimestamps: true })
      return open(copy, template)
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  }
}
