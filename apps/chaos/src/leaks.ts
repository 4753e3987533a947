/** Descriptors that a process did not have when it last stood still. */

/** How many each member has open, and which process that is. */
export type Descriptors = ReadonlyMap<string, { readonly pid: number; readonly count: number }>

/**
 * What leaked between two moments in which nothing was in progress.
 *
 * @param before - at the first
 * @param after - at the second
 * @returns in words: who has more, and who cannot be compared since it is another process
 */
export function leaksIn(before: Descriptors, after: Descriptors): string[] {
  return [...before].flatMap(([name, { pid, count }]) => {
    const now = after.get(name)
    if (now?.pid !== pid) return [`${name} did not live through it`]
    return now.count > count ? [`${name} has ${now.count} descriptors, before it had ${count}`] : []
  })
}
