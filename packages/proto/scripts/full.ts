import type { JsonValue } from '../src/index.ts'

/**
 * A value with every optional field there, all the way down.
 *
 * A schema may leave out an optional field of its interface unnoticed, so the vectors hold one value of this type for
 * each interface: a new field does not compile until a vector covers it, and a test asks whether the schema knows it.
 */
export type Full<T> = unknown extends T
  ? T
  : JsonValue extends T
    ? T
    : T extends string
      ? T
      : T extends readonly (infer Item)[]
        ? readonly Full<Item>[]
        : T extends object
          ? { [K in keyof T]-?: Full<T[K]> }
          : T
