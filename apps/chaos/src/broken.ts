/** What is broken on purpose, to see that it is noticed. */

/**
 * `resume`: runners do not go on with what an earlier life left. `twice`: executors run twice. `orphans`: workers leave
 * processes behind. `detached`: detached workers end with their runner.
 */
export const breaks = ['resume', 'twice', 'orphans', 'detached'] as const
/** One of them. */
export type Break = (typeof breaks)[number]

/** The variable that tells it to all processes, as a list with commas. */
export const brokenName = 'CHAOS_BROKEN'

/** Whether this process is to break it. */
export function isBroken(what: Break): boolean {
  return (process.env[brokenName] ?? '').split(',').includes(what)
}
