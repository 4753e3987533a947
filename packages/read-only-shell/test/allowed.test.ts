/** Honest command lines: all pass, change nothing, and print what they would have printed as they were typed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createReadOnlyShell } from '../src/index.ts'
import { allowedCorpus } from './corpus.ts'
import { createScratches, type Scratch, type Scratches } from './scratch.ts'

const honest = allowedCorpus()
const shell = createReadOnlyShell()

function commandOf(text: string): string {
  const verdict = shell.check(text)
  if (!verdict.allowed) throw new Error(`${text}: ${verdict.reason}`)
  return verdict.command
}

describe('the corpus of honest command lines', () => {
  it('has at least 200, no two alike', () => {
    expect(honest.length).toBeGreaterThanOrEqual(200)
    expect(new Set(honest.map(({ text }) => text)).size).toBe(honest.length)
  })

  it('passes to the last', () => {
    const refused = honest
      .map(({ text }) => ({ text, verdict: shell.check(text) }))
      .filter((each) => !each.verdict.allowed)
    expect(refused).toEqual([])
  })

  it('is understood the same when what was written is checked again', () => {
    const plain = honest.map(({ text }) => commandOf(text)).filter((command) => !/\bgit\b|\brg\b/.test(command))
    expect(plain.length).toBeGreaterThan(100)
    expect(plain.map(commandOf)).toEqual(plain)
  })
})

describe('run for real', () => {
  let scratches: Scratches
  let scratch: Scratch

  beforeAll(() => {
    scratches = createScratches()
    scratch = scratches.fresh()
    // A copy's files are newer than its index says: see README, about `git diff`.
    scratch.git('update-index', '-q', '--refresh')
  })
  afterAll(() => scratches.remove())

  /** What is the same for both: `*` became `./*`, which the output shows, and clocks go on. */
  const comparable = (stdout: string): string =>
    stdout.replaceAll(/(?<=^|\s)\.\//g, '').replaceAll(/\d\d:\d\d:\d\d/g, '')

  it('changes nothing, and prints in sh and in bash the same as the text itself', { timeout: 240_000 }, () => {
    for (const { text } of honest) {
      const safe = ['sh', 'bash'].map((program) => scratch.run(program, commandOf(text)))
      expect(scratch.changes(), text).toEqual([])
      const { code, stdout } = scratch.run('bash', text)
      // What others do to the machine's disks meanwhile.
      if (text.startsWith('df')) continue
      const expected = { text, code, stdout: comparable(stdout) }
      for (const ran of safe) expect({ text, code: ran.code, stdout: comparable(ran.stdout) }).toEqual(expected)
    }
  })
})
