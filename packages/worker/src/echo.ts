import { defineExecutor } from './executor.ts'
import { pause } from './pause.ts'

const sleepWord = /^__sleep_ms:(\d+)$/

/**
 * Says the task back, a word at a time: for trying things out.
 *
 * Emits one `text-delta` a word (`word ` with the space); the text is `echo: ` and the words. The first word
 * `__sleep_ms:<n>` is a wait of that many milliseconds in its place, and is not echoed. A cancel is seen before every
 * word and while it waits.
 */
export const echo = defineExecutor({
  version: '1',
  lateBound: ['workspace', 'model', 'tools'],
  slots: 256,
  idempotent: true,
  async run({ task }, { clock, emit, signal }) {
    const words = task.split(/\s+/).filter((word) => word !== '')
    const sleepAt = words.findIndex((word) => sleepWord.test(word))
    for (const [at, word] of words.entries()) {
      signal.throwIfAborted()
      if (at === sleepAt) await pause(clock, Number(sleepWord.exec(word)?.[1]), signal)
      else await emit({ type: 'text-delta', text: `${word} ` })
    }
    return { text: `echo: ${words.toSpliced(sleepAt, sleepAt < 0 ? 0 : 1).join(' ')}` }
  },
})
