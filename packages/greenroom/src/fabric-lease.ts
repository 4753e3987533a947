/**
 * A worker's place in a fabric: its record is there as long as the worker is.
 *
 * - *L1* From the first moment on the record says whose the place is, but not that anybody is there: its lease is over. What
 *   a start that is cut off leaves is found by it.
 * - *L2* A live one is written when the worker is ready, and again every 20 s; its lease is of 60 s.
 * - *L3* It is withdrawn as soon as the worker is to end: runners that have its connection let their runs end there.
 * - *L4* Each time it is written what others left, who are gone, is removed.
 */
import { fabricLease, fabricVersion, type Clock, type FabricRecord, type Timer } from '@greenroom/proto'
import type { FabricFolder } from '@greenroom/runner/placement'

/** What it is made of. */
export interface FabricLeaseOptions {
  /** Where it is. */
  readonly folder: Pick<FabricFolder, 'publish' | 'withdraw' | 'collect'>
  /** What there is to say of the worker. */
  readonly record: Omit<FabricRecord, 'fabric' | 'expiresAt'>
  readonly clock: Clock
  /** Learns what could not be written; it is tried again. */
  readonly onError: (error: unknown) => void
}

/** See L1 to L4. */
export class FabricLease implements Disposable {
  readonly #options: FabricLeaseOptions
  #timer: Timer | undefined
  #isOver = false

  /**
   * Takes the place (L1).
   *
   * @param options - see {@link FabricLeaseOptions}
   * @throws what the file system says
   */
  constructor(options: FabricLeaseOptions) {
    this.#options = options
    this.#write(0)
  }

  /** Its worker is ready, perhaps again (L2). */
  begin(): void {
    if (this.#isOver || this.#timer !== undefined) return
    this.#renew()
  }

  /** It is to end (L3). */
  end(): void {
    this.#isOver = true
    this.#timer?.cancel()
    const { folder, record, onError } = this.#options
    try {
      folder.withdraw(record.id)
    } catch (error) {
      onError(error)
    }
  }

  /** The same. */
  [Symbol.dispose](): void {
    if (!this.#isOver) this.end()
  }

  #renew(): void {
    const { folder, clock, onError } = this.#options
    this.#timer = clock.timer(fabricLease.renewMs, () => this.#renew(), { background: true })
    try {
      this.#write(fabricLease.forMs)
    } catch (error) {
      onError(error)
    }
    folder.collect(clock.now()).catch(onError)
  }

  #write(forMs: number): void {
    const { folder, record, clock } = this.#options
    folder.publish({ fabric: fabricVersion, ...record, expiresAt: clock.now() + forMs })
  }
}
