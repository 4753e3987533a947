/** The process that a worker lives in. */
import { readFileSync, writeSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { spawnGuarded } from '@greenroom/bus/process'
import { systemClock, type Timer } from '@greenroom/proto'
import type { WorkerPlatform } from '../worker-platform.ts'

/**
 * Writes a line to standard error before it returns: a process that ends right after loses none of it.
 *
 * @param line - without its end
 */
export function writeLine(line: string): void {
  try {
    writeSync(2, `${line}\n`)
  } catch {
    // Nobody reads it, or the pipe is full: a log line is not worth a worker.
  }
}

/** This process as a worker's platform. */
export function systemPlatform(): WorkerPlatform {
  return {
    pid: process.pid,
    ...version(),
    env: process.env,
    spawn: spawnGuarded,
    loopLag: lagMeter(),
    sent: () => new Promise((resolve) => void setImmediate(resolve)),
    rssMb: () => Math.round(process.memoryUsage.rss() / 2 ** 20),
    log: writeLine,
  }
}

/** How often the loop is looked at, in milliseconds. */
const sampleMs = 50
/** Measuring wakes the process up all the time: it ends when nobody has asked for so long, as in an idle worker. */
const restMs = 10_000

function lagMeter(): () => number {
  let delay: ReturnType<typeof monitorEventLoopDelay> | undefined
  let rest: Timer | undefined
  const stop = (): void => {
    delay?.disable()
    delay = undefined
  }
  return () => {
    rest?.cancel()
    rest = systemClock.timer(restMs, stop, { background: true })
    if (delay === undefined) {
      delay = monitorEventLoopDelay({ resolution: sampleMs })
      delay.enable()
      return 0
    }
    const lag = Math.max(0, Math.round(delay.max / 1e6) - sampleMs)
    delay.reset()
    return lag
  }
}

/** Not to be found once the worker is bundled into one file. */
function version(): { version?: string } {
  try {
    const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
    if (typeof manifest !== 'object' || manifest === null || !('version' in manifest)) return {}
    return typeof manifest.version === 'string' ? { version: manifest.version } : {}
  } catch {
    return {}
  }
}
