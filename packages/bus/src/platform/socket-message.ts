/** What passes between a connection's thread and whoever uses the connection. Types only. */

/** To the thread. */
export type SocketOrder =
  | {
      /** Frames that leave as one write. */
      readonly type: 'write'
      readonly frames: readonly Uint8Array[]
    }
  | { readonly type: 'close'; readonly code: number | undefined; readonly reason: string | undefined }
  | { readonly type: 'destroy' }

/** From the thread. */
export type SocketReport =
  | { readonly type: 'opened' | 'ping' }
  | { readonly type: 'frame'; readonly bytes: Uint8Array }
  | {
      /** What it wrote since it said so last, and what the system has not taken of all of it. */
      readonly type: 'held'
      readonly wrote: number
      readonly bytes: number
    }
  | { readonly type: 'closed'; readonly code: number; readonly reason: string }
