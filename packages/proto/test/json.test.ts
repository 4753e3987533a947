import { createContext, runInContext } from 'node:vm'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isJson, jsonFlaw, placeOf } from '../src/index.ts'

const cycle: { list: unknown[] } = { list: [] }
cycle.list.push('first', cycle)

const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)])

class Point {
  readonly x = 1
}

describe('what JSON would change or drop is named with its place', () => {
  test.for<readonly [string, unknown, string]>([
    ['undefined', undefined, 'input: undefined'],
    ['an undefined item', { list: [1, undefined] }, 'input.list.1: undefined'],
    // oxlint-disable-next-line no-sparse-arrays -- what is under test
    ['a hole', [1, , 3], 'input.1: undefined'],
    ['NaN', { n: Number.NaN }, 'input.n: NaN'],
    ['infinity', [[-Infinity]], 'input.0.0: -Infinity'],
    ['a bigint', { n: 1n }, 'input.n: a bigint'],
    ['a symbol', { s: Symbol('s') }, 'input.s: a symbol'],
    ['a function', { f: () => 1 }, 'input.f: a function'],
    ['a date', { when: new Date(0) }, 'input.when: a Date'],
    ['a map', new Map([[1, 2]]), 'input: a Map'],
    ['a set', { tags: new Set() }, 'input.tags: a Set'],
    ['bytes', { body: new Uint8Array(2) }, 'input.body: an Uint8Array'],
    ['a regular expression', /x/, 'input: a RegExp'],
    ['an error', { cause: new Error('x') }, 'input.cause: an Error'],
    ['a promise', Promise.resolve(1), 'input: a Promise'],
    ['a boxed text', Object('x'), 'input: a String'],
    ['an instance of a class', { at: new Point() }, 'input.at: a Point'],
    ['an instance of a class without a name', new (class {})(), 'input: a class instance'],
    ['an object on top of another', Object.create({ x: 1 }), 'input: an Object'],
    ['an object that has the last word', { o: { toJSON: () => 1 } }, 'input.o: an object with toJSON'],
    ['a list that has the last word', Object.assign([1], { toJSON: () => 1 }), 'input: an object with toJSON'],
    ['a cycle', cycle, 'input.list.1: a cycle'],
    [
      'a property that throws',
      {
        get x() {
          throw new Error('no')
        },
      },
      'input: what cannot be read',
    ],
    ['a proxy that was revoked', { p: revoked() }, 'input.p: what cannot be read'],
    ['under a key that is no name', { 'a.b': { '': 1n } }, 'input["a.b"][""]: a bigint'],
  ])('%s', ([, value, message]) => {
    expect(jsonFlaw(value, 'input')).toBe(`${message} is not JSON`)
    expect(isJson(value)).toBe(false)
  })

  test('nesting of more than 256 levels, with a place that can be read', () => {
    expect(isJson(deep(256))).toBe(true)
    expect(jsonFlaw(deep(257), 'input')).toMatch(/^input(\.0)+\.?….*\.0: nesting beyond 256 levels is not JSON$/)
  })
})

describe('what JSON can say passes', () => {
  test.for<readonly [string, unknown]>([
    ['an undefined property: it is left out', { x: undefined }],
    ['an object without a prototype', Object.assign(Object.create(null), { x: 1 })],
    ['what is frozen', Object.freeze([Object.freeze({})])],
    ['an object of another realm', runInContext('({ list: [{ x: 1 }] })', createContext())],
  ])('%s', ([, value]) => {
    expect(jsonFlaw(value, 'input')).toBeUndefined()
  })

  test('an object that stands in two places', () => {
    const twice = { x: 1 }
    expect(isJson({ a: twice, b: [twice, twice] })).toBe(true)
  })
})

test('what passes is the same after a way over the wire, and whatever JSON said passes', () => {
  const anything = fc.anything({ withDate: true, withMap: true, withBigInt: true, withSparseArray: true })
  fc.assert(
    fc.property(anything, (value) => {
      if (!isJson(value)) return
      expect(JSON.parse(JSON.stringify(value))).toEqual(positive(value))
    }),
    { numRuns: 2_000 },
  )
  fc.assert(fc.property(fc.jsonValue(), (value) => isJson(value)))
})

test('a place that is too long to read is cut', () => {
  expect(placeOf('input', ['x'.repeat(1_000)])).toHaveLength(257)
})

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

/** `-0` as JSON says it. */
function positive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(positive)
  if (typeof value !== 'object' || value === null) return value === 0 ? 0 : value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, positive(item)]))
}
