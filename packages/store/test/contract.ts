/** What every store promises, whatever stands behind it: run against each implementation. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Operation, ScanRange, Schema, Store } from '../src/index.ts'

export const schema: Schema = { version: 1, collections: ['messages', 'letters'] }

/** A fresh, empty store with {@link schema} and a disk that has `freeBytes` free; disposing it also removes its files. */
export type OpenFresh = (freeBytes?: () => number) => Promise<Store>

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
const put = (key: string, n = 0): Operation => ({ put: 'messages', key, meta: { n } })
const keys = (store: Store, range?: ScanRange): string[] => store.scan('messages', range).map(({ key }) => key)

export function storeContract(openFresh: OpenFresh): void {
  reading(openFresh)
  committing(openFresh)
  ending(openFresh)
  model(openFresh)
}

function reading(openFresh: OpenFresh): void {
  test('a record comes back as it was put', async () => {
    await using store = await openFresh()
    const meta = { text: 'ü "\0" \u2028', list: [1, null, { deep: true }], left: undefined }
    await store.commit([{ put: 'messages', key: 'a b/~', meta, body: bytes(0, 1, 255) }])
    const record = store.get('messages', 'a b/~')
    expect(record).toEqual({ key: 'a b/~', meta: { text: meta.text, list: meta.list }, body: bytes(0, 1, 255) })
    expect(store.get('letters', 'a b/~')).toBeUndefined()
  })

  test('no body, an empty body and a body that was left out are told apart', async () => {
    await using store = await openFresh()
    await store.commit([put('none'), { put: 'messages', key: 'empty', meta: {}, body: bytes() }])
    expect(store.get('messages', 'none')).not.toHaveProperty('body')
    expect(store.get('messages', 'empty')?.body).toEqual(bytes())
    expect(store.scan('messages', { bodies: false })[0]).not.toHaveProperty('body')
  })

  test('a put replaces the whole record', async () => {
    await using store = await openFresh()
    await store.commit([{ put: 'messages', key: 'k', meta: { a: 1 }, body: bytes(1) }])
    await store.commit([{ put: 'messages', key: 'k', meta: { b: 2 } }])
    expect(store.get('messages', 'k')).toEqual({ key: 'k', meta: { b: 2 } })
    expect(store.count('messages')).toBe(1)
  })

  test('scans give the keys of the range in byte order', async () => {
    await using store = await openFresh()
    await store.commit(['b/2', 'B', 'a', 'b/10', 'b', 'b/1', 'c', 'b0'].map((key) => put(key)))
    expect(keys(store)).toEqual(['B', 'a', 'b', 'b/1', 'b/10', 'b/2', 'b0', 'c'])
    expect(keys(store, { prefix: 'b/' })).toEqual(['b/1', 'b/10', 'b/2'])
    expect(keys(store, { prefix: 'b/', after: 'b/1', reverse: true })).toEqual(['b/2', 'b/10'])
    expect(keys(store, { after: 'a', before: 'b/2', limit: 2 })).toEqual(['b', 'b/1'])
    expect(keys(store, { limit: 0 })).toEqual([])
    const reversed = { prefix: 'b/', after: 'b/1', reverse: true, limit: 1 }
    expect([store.keys('messages', reversed), store.keys('letters')]).toEqual([['b/2'], []])
    expect(store.count('messages', { prefix: 'b' })).toBe(5)
  })

  test('what a read gave belongs to its caller', async () => {
    await using store = await openFresh()
    const body = Buffer.from('first')
    await store.commit([{ put: 'messages', key: 'k', meta: {}, body }])
    body.fill(0)
    store.get('messages', 'k')?.body?.fill(1)
    expect(store.get('messages', 'k')?.body).toEqual(Uint8Array.from(Buffer.from('first')))
  })
}

function committing(openFresh: OpenFresh): void {
  test('nothing is seen before its commit, all of it after', async () => {
    await using store = await openFresh()
    const committed = store.commit([put('a'), put('b'), { delete: 'messages', key: 'a' }])
    expect(keys(store)).toEqual([])
    await committed
    expect(keys(store)).toEqual(['b'])
  })

  test('all batches of a turn share one transaction, in the order of their calls', async () => {
    await using store = await openFresh()
    await Promise.all(Array.from({ length: 100 }, (_, n) => store.commit([put('same', n), put(`k${n}`)])))
    expect(store.get('messages', 'same')?.meta).toEqual({ n: 99 })
    expect(store.stats()).toMatchObject({ commits: 1, batches: 100, operations: 200, waiting: 0, waitingBytes: 0 })
  })

  test('batches that arrive while a commit runs form the next one', async () => {
    await using store = await openFresh()
    const receipts: number[] = []
    const wave = (n: number): Promise<void> => store.commit([put(`k${n}`)]).then(() => void receipts.push(n))
    await Promise.all([wave(0), wave(1).then(() => Promise.all([wave(2), wave(3), wave(4)]))])
    expect(receipts).toEqual([0, 1, 2, 3, 4])
    expect(store.stats().commits).toBe(2)
  })

  test('an empty batch resolves after what was called before it, without a transaction of its own', async () => {
    await using store = await openFresh()
    void store.commit([put('a')])
    await store.commit([])
    expect(keys(store)).toEqual(['a'])
    await store.commit([])
    expect(store.stats().commits).toBe(1)
  })

  test('buffers are not detached, and a view takes only its own bytes along', async () => {
    await using store = await openFresh()
    const slab = new Uint8Array(1024).fill(7)
    await store.commit([{ put: 'messages', key: 'k', meta: {}, body: slab.subarray(10, 13) }])
    expect(slab.byteLength).toBe(1024)
    expect(store.get('messages', 'k')?.body).toEqual(bytes(7, 7, 7))
  })

  test('meta is taken at the call', async () => {
    await using store = await openFresh()
    const meta = { n: 1 }
    const committed = store.commit([{ put: 'messages', key: 'k', meta }])
    meta.n = 2
    await committed
    expect(store.get('messages', 'k')?.meta).toEqual({ n: 1 })
  })

  test('a mistake is refused at the call and harms nobody else', async () => {
    await using store = await openFresh()
    const circular: Record<string, unknown> = {}
    circular['self'] = circular
    const mistakes: unknown[] = [
      { put: 'nowhere', key: 'k', meta: {} },
      { delete: 'nowhere', key: 'k' },
      { put: 'messages', key: '', meta: {} },
      { put: 'messages', key: 'ü', meta: {} },
      { put: 'messages', key: 'x'.repeat(513), meta: {} },
      { put: 'messages', key: 'k', meta: [] },
      { put: 'messages', key: 'k', meta: circular },
      { put: 'messages', key: 'k', meta: {}, body: 'text' },
    ]
    const good = store.commit([put('good')])
    for (const mistake of mistakes) {
      const batch = [put('bad'), mistake as Operation]
      await expect(store.commit(batch)).rejects.toMatchObject({ code: 'BAD_OPERATION', retry: 'never' })
    }
    await good
    expect(keys(store)).toEqual(['good'])
    expect(() => store.scan('nowhere')).toThrow(expect.objectContaining({ code: 'BAD_OPERATION' }))
    expect(() => store.scan('messages', { limit: -1 })).toThrow(expect.objectContaining({ code: 'BAD_OPERATION' }))
    expect(() => store.scan('messages', { prefix: 'ü' })).toThrow(expect.objectContaining({ code: 'BAD_OPERATION' }))
    expect(() => store.get('messages', '')).toThrow(expect.objectContaining({ code: 'BAD_OPERATION' }))
  })

  test('below the reserve only commits with `reserve` are refused', async () => {
    let free = 100 * 1024 * 1024
    await using store = await openFresh(() => free)
    await store.commit([put('a')], { reserve: true })
    free = 64 * 1024 * 1024 - 1
    const refused = store.commit([put('b')], { reserve: true })
    await expect(refused).rejects.toMatchObject({ code: 'STORAGE_FULL', retry: 'later' })
    await store.commit([{ delete: 'messages', key: 'a' }])
    free += 1
    await store.commit([put('c')], { reserve: true })
    expect(keys(store)).toEqual(['c'])
    expect(store.stats().refused).toBe(1)
  })
}

function ending(openFresh: OpenFresh): void {
  test('close flushes what is queued, is idempotent, and refuses what comes after', async () => {
    const store = await openFresh()
    const queued = store.commit([put('a')])
    await Promise.all([store.close(), store.close(), queued, store.closed])
    await store.close()
    await expect(store.commit([put('b')])).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(store.backup('anywhere')).rejects.toMatchObject({ code: 'CLOSED' })
    expect(() => store.get('messages', 'a')).toThrow(expect.objectContaining({ code: 'CLOSED' }))
    await store[Symbol.asyncDispose]()
  })
}

const anyKey = fc.stringMatching(/^[ab/]{1,4}$/)
const anyBody = fc.option(fc.uint8Array({ maxLength: 8 }), { nil: undefined })
const anyPut = fc.record({ put: fc.constant('messages'), key: anyKey, meta: fc.record({ n: fc.nat() }), body: anyBody })
const anyDelete = fc.record({ delete: fc.constant('messages'), key: anyKey })
const anyBatches = fc.array(fc.array(fc.oneof(anyPut, anyPut, anyDelete), { maxLength: 8 }), { maxLength: 8 })
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined })
const anyRange = fc.record({
  prefix: optional(anyKey),
  after: optional(anyKey),
  before: optional(anyKey),
  limit: optional(fc.nat(5)),
  reverse: fc.boolean(),
})

function model(openFresh: OpenFresh): void {
  test('reads agree with a map after any batches', async () => {
    await using store = await openFresh()
    const map = new Map<string, unknown>()
    await fc.assert(
      fc.asyncProperty(anyBatches, anyRange, async (batches, any) => {
        await Promise.all(
          batches.map((batch) =>
            store.commit(
              batch.map((o) =>
                'put' in o && o.body === undefined ? { put: o.put, key: o.key, meta: o.meta } : o,
              ) as Operation[],
            ),
          ),
        )
        for (const operation of batches.flat()) {
          if ('delete' in operation) map.delete(operation.key)
          else map.set(operation.key, operation)
        }
        const range = Object.fromEntries(Object.entries(any).filter(([, value]) => value !== undefined)) as ScanRange
        const { prefix = '', after = '', before = '~', limit = Infinity } = range
        const within = [...map.keys()].toSorted().filter((key) => key.startsWith(prefix) && key > after && key < before)
        const ordered = range.reverse === true ? within.toReversed() : within
        expect(keys(store, range)).toEqual(ordered.slice(0, limit))
        expect(store.count('messages', range)).toBe(within.length)
        for (const [key, value] of map) expect(store.get('messages', key)).toMatchObject(recordOf(value))
      }),
      { numRuns: 60 },
    )
  })
}

function recordOf(value: unknown): object {
  const { key, meta, body } = value as { key: string; meta: object; body?: Uint8Array }
  return body === undefined ? { key, meta } : { key, meta, body: Uint8Array.from(body) }
}
