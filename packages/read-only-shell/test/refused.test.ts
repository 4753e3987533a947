/** Tricks: all are refused, and most are shown to be real by running them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createReadOnlyShell } from '../src/index.ts'
import { refusedCorpus, type Entry } from './corpus.ts'
import { createScratches, secret, type Scratch, type Scratches } from './scratch.ts'

const tricks = refusedCorpus()
const shell = createReadOnlyShell()

describe('the corpus of tricks', () => {
  it('has at least 300, no two alike', () => {
    expect(tricks.length).toBeGreaterThanOrEqual(300)
    expect(new Set(tricks.map(({ text }) => text)).size).toBe(tricks.length)
  })

  it('is refused to the last, each with a reason', () => {
    const verdicts = tricks.map(({ line, text }) => ({ line, text, verdict: shell.check(text) }))
    expect(verdicts.filter(({ verdict }) => verdict.allowed)).toEqual([])
    const silent = verdicts.filter(({ verdict }) => !verdict.allowed && !/\S{2}/.test(verdict.reason))
    expect(silent).toEqual([])
  })

  it('is refused too behind, before and beside a harmless command', () => {
    const around = ['ls; T', 'ls && T', 'ls | T', 'ls\nT', '(T)', 'T\nls', 'T | cat', '! T']
    const passed = tricks
      // In a frame these make sense.
      .filter(({ text }) => !/^[#!;&|]|&&$/.test(text))
      .flatMap(({ line, text }) => around.map((frame) => ({ line, text: frame.replace('T', () => text) })))
      .filter(({ text }) => shell.check(text).allowed)
    expect(passed).toEqual([])
  })
})

describe('the tricks are real', () => {
  let scratches: Scratches
  let scratch: Scratch

  beforeAll(() => {
    scratches = createScratches()
    scratch = scratches.fresh()
  })
  afterAll(() => scratches.remove())

  function works({ how, text }: Entry): boolean {
    scratch.restore()
    const { stdout } = scratch.run(how === 'leak' ? 'bash' : how, text)
    if (how === 'leak') return stdout.includes(secret)
    // git itself may write its index. That does not show that what the trick is about was run.
    const own = /evil|pwned/.test(text) ? 'repository/.git/index' : ''
    return scratch.changes().some((path) => path !== own)
  }

  const missing = (text: string): boolean =>
    ['jq', 'perl', 'awk', 'python3', 'node', 'script', 'unshare', 'xxd', 'time', 'setsid', 'ionice', 'flock'].some(
      (program) => new RegExp(`\\b${program}\\b`).test(text) && scratch.run('sh', `command -v ${program}`).code !== 0,
    )

  for (const how of ['sh', 'bash', 'leak']) {
    const mine = tricks.filter((trick) => trick.how === how)
    it(`${how}: each of ${mine.length} does what it must not`, { timeout: 240_000 }, () => {
      const tried = mine.filter(({ text }) => !missing(text))
      expect(tried.length).toBeGreaterThan(mine.length / 2)
      expect(tried.filter((trick) => !works(trick)).map(({ line, text }) => `${line}: ${text}`)).toEqual([])
    })
  }
})
