/**
 * Has a class do something otherwise, until it is disposed of.
 *
 * @param on - its prototype
 * @param name - of what
 * @param otherwise - makes the other one of it
 */
export function replaced<T extends object, K extends keyof T>(
  on: T,
  name: K,
  otherwise: (original: T[K]) => T[K],
): Disposable {
  const original = on[name]
  on[name] = otherwise(original)
  return { [Symbol.dispose]: () => void (on[name] = original) }
}
