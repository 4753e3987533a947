/** Reads the corpora: see the head of `corpus/refused.txt` for how they are written. */
import { readFileSync } from 'node:fs'

export interface Entry {
  /** The shell that proves it, `leak`, or `-`. */
  readonly how: string
  readonly text: string
  readonly line: number
}

const marks: Readonly<Record<string, string>> = { '␤': '\n', '␍': '\r', '␉': '\t', '␀': '\0' }

const unmarked = (text: string): string =>
  text
    .replaceAll(/[␤␍␉␀]/g, (mark) => marks[mark] ?? '')
    .replaceAll(/⟦([0-9A-F]+)⟧/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))

function lines(name: string): { text: string; line: number }[] {
  return readFileSync(new URL(`corpus/${name}`, import.meta.url), 'utf8')
    .split('\n')
    .map((text, index) => ({ text, line: index + 1 }))
    .filter(({ text }) => text !== '' && !text.startsWith('# '))
}

/** The tricks. */
export function refusedCorpus(): Entry[] {
  return lines('refused.txt').map(({ text, line }) => {
    const [, how, trick] = /^(sh|bash|leak|-): (.*)$/.exec(text) ?? []
    if (how === undefined || trick === undefined) throw new Error(`refused.txt:${line}: HOW: TEXT is expected`)
    return { how, text: unmarked(trick), line }
  })
}

/** The honest command lines. */
export function allowedCorpus(): Entry[] {
  return lines('allowed.txt').map(({ text, line }) => ({ how: '', text: unmarked(text), line }))
}
