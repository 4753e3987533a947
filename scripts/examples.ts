/**
 * Type-checks every example a reader may copy: the ```ts blocks in doc comments of the packages' sources, in the
 * README and in the guide.
 *
 * - A block must be complete, imports included. Anything else (a shape, a fragment) is fenced as ```text.
 * - A line `// name.ts` starts a file: the blocks of one document that are named so may import each other.
 *
 * The blocks are written to `apps/e2e/.examples/` (from there every package can be imported) and checked by one run
 * of `tsc` against the sources, without a build. Errors name the document and its line.
 */
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, 'apps/e2e/.examples')

/** A piece of a document that is one TypeScript file. */
interface Example {
  /** The document's path from the root. */
  readonly document: string
  /** The line of the document that the example's first line stands on, from 1. */
  readonly line: number
  /** The name it asks for, if any. */
  readonly name: string | undefined
  readonly code: string
}

/** A line of a document that may hold examples, without what a comment puts in front of it. */
interface Line {
  readonly number: number
  readonly text: string
}

function commentLines(source: string): Line[] {
  const lines: Line[] = []
  let inside = false
  for (const [index, text] of source.split('\n').entries()) {
    if (!inside && /^\s*\/\*\*/.test(text)) inside = true
    if (inside) lines.push({ number: index + 1, text: text.replace(/^\s*(\/\*\*|\*(?!\/)) ?/, '') })
    if (inside && text.includes('*/')) inside = false
  }
  return lines
}

const plainLines = (source: string): Line[] => source.split('\n').map((text, index) => ({ number: index + 1, text }))

/** Cuts a block where a line names a file. */
function split(document: string, block: readonly Line[]): Example[] {
  const parts: { name: string | undefined; lines: Line[] }[] = []
  for (const line of block) {
    const name = /^\/\/ ([\w.-]+\.ts)\b/.exec(line.text)?.[1]
    const last = parts.at(-1)
    if (last === undefined || name !== undefined) parts.push({ name, lines: [line] })
    else last.lines.push(line)
  }
  return parts
    .filter(({ lines }) => lines.some(({ text }) => text.trim() !== ''))
    .map(({ name, lines }) => ({
      document,
      name,
      line: lines[0]?.number ?? 1,
      code: `${lines.map(({ text }) => text).join('\n')}\nexport {}\n`,
    }))
}

/** All examples of a document. */
function examplesOf(document: string, source: string): Example[] {
  const lines = document.endsWith('.md') ? plainLines(source) : commentLines(source)
  const found: Example[] = []
  let fence: { language: string; lines: Line[] } | undefined
  for (const line of lines) {
    const language = /^\s*```(\S*)/.exec(line.text)?.[1]
    if (language === undefined) fence?.lines.push(line)
    else if (fence === undefined) fence = { language, lines: [] }
    else {
      if (['ts', 'typescript'].includes(fence.language)) found.push(...split(document, fence.lines))
      fence = undefined
    }
  }
  return found
}

/** Writes an example where its document's other examples are. */
function place(example: Example): string {
  const name = example.name ?? `line-${example.line}.ts`
  const path = join(folder, example.document.replaceAll('/', '-').replaceAll('.', '-'), name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, example.code)
  return path
}

function compile(files: readonly string[]): string {
  const config = {
    extends: '../../../tsconfig.base.json',
    compilerOptions: { noEmit: true, allowImportingTsExtensions: true, customConditions: ['@greenroom/source'] },
    files,
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const tsc = join(root, 'node_modules/.bin/tsc')
  const { stdout, stderr } = spawnSync(tsc, ['-p', folder, '--pretty', 'false'], { cwd: folder, encoding: 'utf8' })
  return stdout + stderr
}

/** Puts the document and its line in front of each error. */
function translate(output: string, placed: ReadonlyMap<string, Example>): string {
  return output.replaceAll(/^(\S.*?)\((\d+),(\d+)\):/gm, (whole, file: string, line: string, column: string) => {
    const example = placed.get(join(folder, file))
    return example === undefined ? whole : `${example.document}:${example.line + Number(line) - 1}:${column}:`
  })
}

/** Type-checks all examples: how many there are, and what `tsc` says of them (nothing if they are right). */
export function checkExamples(): { count: number; errors: string } {
  const patterns = ['packages/*/src/**/*.ts', 'README.md', 'packages/*/*.md', 'docs/guide/**/*.md']
  const documents = globSync(patterns, { cwd: root }).sort()
  const examples = documents.flatMap((path) => examplesOf(path, readFileSync(join(root, path), 'utf8')))
  rmSync(folder, { recursive: true, force: true })
  if (examples.length === 0) return { count: 0, errors: '' }
  const placed = new Map(examples.map((example) => [place(example), example]))
  const errors = translate(compile([...placed.keys()]), placed).trim()
  if (errors === '') rmSync(folder, { recursive: true })
  return { count: examples.length, errors }
}

if (import.meta.main) {
  const { count, errors } = checkExamples()
  if (errors !== '') console.error(errors)
  console.error(`${count} examples ${errors === '' ? 'type-check' : `(left to look at in ${relative(root, folder)})`}`)
  process.exitCode = errors === '' ? 0 : 1
}
