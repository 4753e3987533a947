/** Names of options: what is misspelt, or of a later version, would be trusted in vain if nobody said so. */

/**
 * What is wrong with the names of what was given.
 *
 * @param field - what that is, for people
 * @param given - what its names are checked of
 * @param known - the names that there are
 * @returns in words; undefined when all are known
 */
export function namesFlaw(field: string, given: object, known: readonly string[]): string | undefined {
  const name = Object.keys(given).find((key) => !known.includes(key))
  return name === undefined ? undefined : `${field}: "${name}" must be one of ${known.join(', ')}`
}
