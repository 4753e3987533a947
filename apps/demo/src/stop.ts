/** Stopping by signal: the first asks the surveyors to end, another one does not wait for them. */
import { constants } from 'node:os'
import type { LiveView } from './live-view.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** One Ctrl-C may arrive twice: from the terminal, and passed on by npm. */
const ECHO_MS = 500

/** The wish to stop. */
export interface Stop extends Disposable {
  /** Aborts when a signal came. */
  readonly signal: AbortSignal
  /** 128 + the number of the signal that came. */
  readonly exitCode: number | undefined
}

/**
 * Listens for signals until it is disposed of.
 *
 * @param view - is told, and closed when the program must end at once
 */
export function stopOnSignals(view: LiveView): Stop {
  const controller = new AbortController()
  let exitCode: number | undefined
  let since = 0
  const stop = (name: (typeof SIGNALS)[number]): void => {
    const now = performance.now()
    if (exitCode === undefined) {
      exitCode = 128 + constants.signals[name]
      since = now
      view.say('stopping the surveyors …')
      controller.abort(name)
    } else if (now - since > ECHO_MS) {
      view.close()
      process.exit(exitCode)
    }
  }
  for (const name of SIGNALS) process.on(name, stop)
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode
    },
    [Symbol.dispose]() {
      for (const name of SIGNALS) process.off(name, stop)
    },
  }
}
