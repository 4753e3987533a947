/** What goes wrong with live messages between who tells them and the network: as a live lane may lose and repeat. */
import type { BusObserver, LiveOutgoing, ManualClock } from '@greenroom/bus/testing'

/** How a live message goes wrong. `late` also holds back what its sender tells meanwhile: the lane keeps its order. */
export type LiveFault = 'drop' | 'twice' | 'late'

/** See the file. */
export class LiveLane {
  readonly #clock: ManualClock
  readonly #pass: (site: string) => void
  #faults: { readonly fault: LiveFault; readonly forMs: number }[] = []

  /** @param pass - called at each live message */
  constructor(clock: ManualClock, pass: (site: string) => void) {
    this.#clock = clock
    this.#pass = pass
  }

  /** The next live messages go wrong, whoever tells them. */
  spoil(fault: LiveFault, times: number, forMs: number): void {
    this.#faults.push(...Array.from({ length: times }, () => ({ fault, forMs })))
  }

  calm(): void {
    this.#faults = []
  }

  /** For one sender. */
  get observer(): BusObserver {
    let jam: (() => void)[] | undefined
    const publish = ({ kind }: LiveOutgoing, send: () => boolean): boolean => {
      this.#pass(`live ${kind}`)
      const next = this.#faults.shift()
      if (next?.fault === 'drop') return true
      const go = next?.fault === 'twice' ? (): boolean => send() && send() : send
      if (jam !== undefined) {
        jam.push(go)
        return true
      }
      if (next?.fault !== 'late') return go()
      jam = [go]
      this.#clock.timer(next.forMs, () => {
        const waiting = jam ?? []
        jam = undefined
        for (const one of waiting) one()
      })
      return true
    }
    return { publish }
  }
}
