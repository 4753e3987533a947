import type { Clock } from './clock.ts'

/** A moment, by both of a clock's times. */
export interface Moment {
  /** In milliseconds since the epoch. */
  readonly wall: number
  /** By {@link Clock.monotonic}. */
  readonly ticks: number
}

/**
 * Now.
 *
 * @param clock - the clock
 */
export function momentOf(clock: Clock): Moment {
  return { wall: clock.now(), ticks: clock.monotonic() }
}

/**
 * How long ago a moment was, at least as long as it can have been for others: a machine that is suspended stops its monotonic
 * time on some systems, and its wall clock may be set back.
 *
 * @param clock - the clock that it was taken from
 * @param moment - the moment
 * @returns in milliseconds
 */
export function ageOf(clock: Clock, { wall, ticks }: Moment): number {
  return Math.max(clock.now() - wall, clock.monotonic() - ticks)
}
