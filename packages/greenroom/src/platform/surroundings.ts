/** What a command needs of the program that it is. */

/**
 * The variables with these names that are set here.
 *
 * @param names - the allowlist
 */
export function pickEnvironment(names: readonly string[]): Record<string, string> {
  const found = names.flatMap((name): [string, string][] => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value]]
  })
  return Object.fromEntries(found)
}

/** Keeps the program alive until it is disposed of: a worker's process and a connection in the background do not. */
export function keepAlive(): Disposable {
  const handle = setInterval(() => undefined, 2 ** 30)
  return { [Symbol.dispose]: () => clearInterval(handle) }
}
