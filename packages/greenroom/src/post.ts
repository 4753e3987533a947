/** Where a resident worker serves. Types only. */
import type { ResidentOptions } from './resident.ts'

/** In a pool, at an endpoint of its own, or in a fabric. */
export interface Post extends AsyncDisposable, Pick<ResidentOptions, 'bus' | 'names' | 'fence' | 'onReady'> {
  /** The presence role that it has there. */
  readonly role: string
  /** For people. */
  readonly url: string
  /** Rejects when its bus turns this program away for good, or ends. */
  readonly lost: Promise<never>
  /** Called when it is told to stop, which may be more than once. */
  readonly onStop?: () => void
}
