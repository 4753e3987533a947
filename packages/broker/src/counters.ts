/** What a broker counts. */

/** Counts since the start. */
export interface Counters {
  /** Messages stored. */
  sent: number
  /** Messages handed to consumers. */
  delivered: number
  /** Those of them that had been handed out before. */
  redelivered: number
  /** Live messages handed to consumers. */
  live: number
  /** Live messages dropped: nobody attached, or a buffer was full. */
  liveDropped: number
  /** Messages that came back too often. */
  deadLetters: number
  /** Messages whose payload was damaged on the disk. */
  quarantined: number
  /** Messages that nobody took in their time. */
  expired: number
  /** Incarnations that became gone. */
  gone: number
  /** Connections that were cut since they did not read. */
  slowConsumers: number
  /** Frames that were refused since their sender's token does not grant them. */
  forbidden: number
  /** Tokens that were missing, wrong or expired: at connections, which were refused, and in `renew`. */
  unauthorized: number
}

/** Counters at zero. */
export function zeroCounters(): Counters {
  return {
    sent: 0,
    delivered: 0,
    redelivered: 0,
    live: 0,
    liveDropped: 0,
    deadLetters: 0,
    quarantined: 0,
    expired: 0,
    gone: 0,
    slowConsumers: 0,
    forbidden: 0,
    unauthorized: 0,
  }
}
