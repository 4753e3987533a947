/**
 * Mutants of honest command lines, and made-up options: whatever passes changes nothing when it is run, where all names
 * are traps.
 *
 * FUZZ_SEED takes another seed, FUZZ_FACTOR=10 runs ten times as many, and FUZZ_FIRST is put before each command line: a
 * PATH with programs that are not installed, such as rg and tree.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createReadOnlyShell } from '../src/index.ts'
import { allowedCorpus, refusedCorpus } from './corpus.ts'
import { createScratches, secret, type Scratch, type Scratches } from './scratch.ts'

const shell = createReadOnlyShell()
const honest = allowedCorpus().map(({ text }) => text)
const tricks = refusedCorpus().map(({ text }) => text)

const fragments = [
  '-o',
  '-opwned',
  '--output=pwned',
  '-O./evil.sh',
  '-i',
  '-delete',
  '-exec ./evil.sh {} ;',
  '-fprint pwned',
  '--pre=./evil.sh',
  '> pwned',
  '>pwned',
  '>> a.txt',
  '<> pwned',
  '&> pwned',
  '>| pwned',
  '2>pwned',
  '<<E',
  '<<<',
  '> /dev/null',
  '2>&1',
  '< a.txt',
  '$(touch pwned)',
  '`touch pwned`',
  '<(touch pwned)',
  '${x:-$(touch pwned)}',
  '$IFS',
  '${IFS}',
  '$HOME',
  '"$HOME"',
  '$SECRET_FOR_TEST',
  '; touch pwned',
  '&& ./evil.sh',
  '| sh',
  '|sh evil.sh',
  '\n./evil.sh\n',
  '& ./evil.sh',
  '|| rm a.txt',
  '; . ./evil.sh',
  '| tee pwned',
  "'",
  '"',
  '\\',
  '\\\n',
  '#',
  '`',
  '$',
  '(',
  ')',
  '{',
  '}',
  '[',
  ']',
  '!',
  '*',
  '?',
  '~',
  '\n',
  ' ',
  '\t',
  ';',
  '&',
  '|',
  '<',
  '>',
  '=',
  '--',
  '-',
  '-c',
  '-C .',
  '-p',
  '-c core.fsmonitor=./evil.sh',
  '--ext-diff',
  '--textconv',
  '-D',
  '-d',
  '-f',
  '-w pwned',
  'w pwned',
  '1e ./evil.sh',
  'env',
  'xargs',
  'eval',
  'exec',
  'command',
  './evil.sh',
  'sh -c',
  'pwned',
  'a.txt',
  '/proc/self/environ',
  '../../../../../../../../../proc/self/environ',
]

/** Pieces inserted, taken out, or taken over from a trick. */
const mutant = fc
  .record({
    base: fc.constantFrom(...honest),
    cuts: fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        drop: fc.constantFrom(0, 0, 0, 1, 2, 5),
        insert: fc.oneof(
          { weight: 6, arbitrary: fc.constantFrom(...fragments) },
          { weight: 2, arbitrary: fc.constantFrom(...honest.flatMap((text) => text.split(' '))) },
          { weight: 2, arbitrary: fc.constantFrom(...tricks.flatMap((text) => text.split(' '))) },
        ),
        blanks: fc.boolean(),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  })
  .map(({ base, cuts }) => {
    let text = base
    for (const { at, drop, insert, blanks } of cuts) {
      const place = blanks ? text.indexOf(' ', Math.floor(at * text.length)) : Math.floor(at * text.length)
      const start = place < 0 ? text.length : place
      text = text.slice(0, start) + (blanks ? ` ${insert}` : insert) + text.slice(start + drop)
    }
    return text
  })

/** Programs that can do more than read, with options that are made up: is each value where the rule takes it to be? */
const programs = [
  'sort',
  'uniq',
  'sed -n',
  'find',
  'tree',
  'rg',
  'file',
  'xxd',
  'base64',
  'jq',
  'tail',
  'head',
  'diff',
  'od',
  'cut',
  'column',
  'git log',
  'git diff',
  'git show',
  'git grep',
  'git branch',
  'git tag',
  'git remote',
  'git stash',
  'git reflog',
  'git ls-files',
  'git blame',
  'git cat-file',
  'git describe',
  'git shortlog',
  'git worktree',
  'git for-each-ref',
  'git rev-list',
  'git -C',
]
const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'.split('')
const cluster = fc.string({
  unit: fc.constantFrom(...letters, 'o', 'O', 'R', 'n', 'L', 'i', 'f'),
  minLength: 1,
  maxLength: 4,
})
const word = fc.oneof(
  { weight: 6, arbitrary: cluster.map((option) => `-${option}`) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'pwned',
      'a.txt',
      '1',
      '-',
      '--',
      'src',
      'HEAD',
      'w',
      '1p',
      '.',
      '*',
      'list',
      'show',
      '--list',
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...[...honest, ...tricks].flatMap((text) => text.match(/ --[a-z-]+(?:=[^ ]*)?/g) ?? [])),
  },
)
const invented = fc
  .tuple(fc.constantFrom(...programs), fc.array(word, { minLength: 1, maxLength: 5 }))
  .map(([program, words]) => `${program} ${words.join(' ')}`)

const runs = (numRuns: number): { seed: number; numRuns: number } => ({
  seed: Number(process.env['FUZZ_SEED'] ?? 1),
  numRuns: numRuns * Number(process.env['FUZZ_FACTOR'] ?? 1),
})

describe('mutants', () => {
  let scratches: Scratches
  let scratch: Scratch

  function trapped(): Scratch {
    const laid = scratches.fresh()
    for (const name of ['-opwned', '--output=pwned', '-delete', '-exec', '-fprint', '-i', '-rf']) laid.write(name, '')
    laid.write('.gitattributes', '*.txt diff=t\n')
    laid.git('config', 'core.fsmonitor', './evil.sh')
    laid.git('config', 'diff.external', './evil.sh')
    laid.git('config', 'diff.t.textconv', './evil.sh')
    return laid
  }

  beforeAll(() => {
    scratches = createScratches()
    scratch = trapped()
  })
  afterAll(() => scratches.remove())

  function passing(texts: fc.Arbitrary<string>, numRuns: number): number {
    const seen = new Set<string>()
    fc.assert(
      fc.property(texts, (text) => {
        const verdict = shell.check(text)
        if (!verdict.allowed || seen.has(verdict.command)) return
        seen.add(verdict.command)
        const ran = scratch.run(
          seen.size % 2 === 0 ? 'sh' : 'bash',
          (process.env['FUZZ_FIRST'] ?? '') + verdict.command,
        )
        const changes = scratch.changes()
        // Else the next, smaller one would be blamed for what this one did.
        if (changes.length > 0) scratch = trapped()
        expect(changes).toEqual([])
        expect(ran.stdout + ran.stderr).not.toContain(secret)
        // What was written anew is well-formed, whatever was typed; and nothing waits for ever (`find /` only takes long).
        expect(ran.code === null && !/ \//.test(text)).toBe(false)
        expect(ran.stderr).not.toMatch(/^(?:sh|bash): .*(?:yntax error|unexpected)/m)
      }),
      runs(numRuns),
    )
    return seen.size
  }

  it('of honest command lines that pass change nothing and print no secret', { timeout: 300_000 }, () => {
    expect(passing(mutant, 3000)).toBeGreaterThan(200)
  })

  it('of options that pass change nothing', { timeout: 300_000 }, () => {
    expect(passing(invented, 6000)).toBeGreaterThan(200)
  })

  it('and any other text never make the check throw', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.string({ unit: fc.constantFrom(...fragments), maxLength: 12 }),
    )
    fc.assert(
      fc.property(text, (any) => {
        expect(shell.check(any)).toHaveProperty('allowed')
      }),
      { seed: 2, numRuns: 5000 },
    )
  })
})
