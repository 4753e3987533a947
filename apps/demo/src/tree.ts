/**
 * The tree: which files a survey counts.
 *
 * - *T1* In a git work tree: what git knows below the folder (tracked, or untracked and not ignored). A folder below the
 *   top of its work tree where git knows nothing (an installed `node_modules/typescript`) counts as outside git.
 * - *T2* Outside git: every file below the folder.
 * - *T3* Regular files only. Symbolic links are neither followed nor counted, nor is what lies behind a linked folder;
 *   submodules and repositories inside the repository are folders, not files.
 * - *T4* The list is in the order of the names and has each file once, however it was found.
 *
 * Listing is synchronous: nothing else goes on yet, and it is ten times as fast.
 */
import { spawnSync, type SpawnSyncReturns } from 'node:child_process'
import { lstatSync, readdirSync, type Dirent, type Stats } from 'node:fs'
import { bytesOfName, nameFromBytes } from './file-name.ts'

/** A file to count. */
export interface TreeFile {
  /** Its path from the root, in the text of `file-name.ts`. */
  readonly path: string
  /** Its size when it was listed, in bytes. */
  readonly bytes: number
}

/** What there is to survey. */
export interface Tree {
  readonly files: readonly TreeFile[]
  /** Paths that could not be looked at: they are not counted, nor is what may be below them. */
  readonly hidden: readonly string[]
}

/**
 * Lists the files below a folder.
 *
 * @param root - an absolute path without symbolic links
 * @param gitMs - how long git may take for an answer, in milliseconds: what its configuration names may keep it waiting for ever. = 30,000
 * @throws what git or the file system says when the folder itself cannot be listed; that git was too slow
 */
export function listTree(root: string, gitMs = 30_000): Tree {
  const hidden: string[] = []
  const paths = knownToGit(root, gitMs) ?? walk(root, hidden)
  return { files: regularFiles(root, [...new Set(paths)].sort(), hidden), hidden: hidden.sort() }
}

/**
 * Where a file is, as bytes, so that every name stays what it is.
 *
 * @param root - an absolute path
 * @param path - a path from there
 */
export function locate(root: string, path: string): Buffer {
  return bytesOfName(`${root}/${path}`)
}

/**
 * Files with the sizes that they have now.
 *
 * @param root - an absolute path
 * @param paths - from there
 * @returns all of them: what cannot be looked at has size 0, and whoever reads it will say why
 */
export function measured(root: string, paths: readonly string[]): TreeFile[] {
  const sizeOf = (path: string): number => {
    try {
      return lstatSync(locate(root, path)).size
    } catch {
      return 0
    }
  }
  return paths.map((path) => ({ path, bytes: sizeOf(path) }))
}

// --- git --------------------------------------------------------------------------------------------------

/** What git knows below the root (T1), or undefined where it does not decide. */
function knownToGit(root: string, timeout: number): string[] | undefined {
  const where = git(root, timeout, ['rev-parse', '--is-inside-work-tree', '--show-prefix'])
  if (where.status !== 0 || !where.stdout.toString().startsWith('true\n')) return undefined
  const isTop = where.stdout.toString() === 'true\n\n'
  const listed = git(root, timeout, ['ls-files', '-z', '--cached', '--others', '--exclude-standard'])
  if (listed.status !== 0) throw new Error(`git cannot list it: ${listed.stderr.toString().split('\n')[0]}`)
  const paths = namesIn(listed.stdout)
  return paths.length > 0 || isTop ? paths : undefined
}

/** The names in a list that ends each with a NUL byte. */
function namesIn(list: Buffer): string[] {
  const names: string[] = []
  for (let from = 0, end = list.indexOf(0); end >= 0; from = end + 1, end = list.indexOf(0, from))
    names.push(nameFromBytes(list.subarray(from, end)))
  return names
}

/**
 * Asks git. Reading a foreign repository must run none of its programs, so its file system monitor is off; then its
 * owner does not matter either, and a clone that belongs to another user can be surveyed.
 */
function git(root: string, timeout: number, args: readonly string[]): SpawnSyncReturns<Buffer> {
  const harmless = ['-c', 'core.fsmonitor=false', '-c', 'safe.directory=*']
  // Inside a git hook the others point at the hook's repository, not at the one to survey.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^GIT_(?!CONFIG)/.test(name)))
  const bounds = { maxBuffer: Infinity, timeout, killSignal: 'SIGKILL' } as const
  const ran = spawnSync('git', [...harmless, ...args], { cwd: root, env, encoding: 'buffer', ...bounds })
  if (ran.error !== undefined && 'code' in ran.error && ran.error.code === 'ETIMEDOUT')
    throw new Error(`git did not answer within ${timeout} ms: something that it reads keeps it waiting`)
  return ran
}

// --- The file system --------------------------------------------------------------------------------------

/** Every file below the root (T2). */
function walk(root: string, hidden: string[]): string[] {
  const paths: string[] = []
  const folders = ['']
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of entriesOf(root, folder, hidden)) {
      const name = nameFromBytes(entry.name)
      const path = folder === '' ? name : `${folder}/${name}`
      if (entry.isDirectory()) folders.push(path)
      else if (entry.isFile()) paths.push(path)
    }
  }
  return paths
}

function entriesOf(root: string, folder: string, hidden: string[]): Dirent<Buffer>[] {
  try {
    return readdirSync(locate(root, folder), { withFileTypes: true, encoding: 'buffer' })
  } catch (error) {
    if (folder === '') throw error
    hidden.push(folder)
    return []
  }
}

/** Keeps the regular files that are there (T3). */
function regularFiles(root: string, paths: readonly string[], hidden: string[]): TreeFile[] {
  const stat = (path: string): Stats | undefined => {
    try {
      return lstatSync(locate(root, path), { throwIfNoEntry: false })
    } catch (error) {
      // A folder of the path is a file by now: as good as deleted.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOTDIR')) hidden.push(path)
      return undefined
    }
  }
  const real = new Map([['', true]])
  /** Whether a folder is one, and no part of its path is a symbolic link. */
  const isReal = (folder: string): boolean => {
    const answer = real.get(folder) ?? (isReal(parentOf(folder)) && stat(folder)?.isDirectory() === true)
    real.set(folder, answer)
    return answer
  }
  return paths.flatMap((path) => {
    const stats = isReal(parentOf(path)) ? stat(path) : undefined
    return stats?.isFile() === true ? [{ path, bytes: stats.size }] : []
  })
}

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')))
