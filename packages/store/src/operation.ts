/**
 * The middle word between a caller's operations and a transaction: checked, with `meta` already encoded.
 *
 * Whatever could make a statement fail because of its arguments is refused here, at the call, so that one caller's
 * mistake never fails the transaction of the others.
 */
import { messageOf, StoreError } from './error.ts'
import type { JsonObject } from './json.ts'
import type { Operation } from './store.ts'

/**
 * A checked operation. A put has `meta`, a delete has none.
 *
 * @internal
 */
export interface EncodedOperation {
  /** The collection's place in the store's list of names. */
  readonly table: number
  readonly key: string
  /** JSON text. */
  readonly meta: string | undefined
  readonly body: Uint8Array | undefined
}

/**
 * A checked batch.
 *
 * @internal
 */
export interface EncodedBatch {
  readonly operations: readonly EncodedOperation[]
  /** Characters of keys and meta, bytes of bodies. */
  readonly bytes: number
}

const keyPattern = /^[\x20-\x7e]{1,512}$/
const maxBody = 512 * 1024 * 1024
const maxText = 64 * 1024 * 1024
const maxBodies = 1024 * 1024 * 1024

/**
 * Finds collections by name.
 *
 * @internal
 */
export interface Collections {
  /**
   * The place of a collection, as an {@link EncodedOperation} names it.
   *
   * @throws StoreError `BAD_OPERATION`
   */
  indexOf(collection: string): number
}

/**
 * The collections of a store, in a list that does not change.
 *
 * @internal
 */
export class Names implements Collections {
  readonly list: readonly string[]
  readonly #index: ReadonlyMap<string, number>

  constructor(list: readonly string[]) {
    this.list = list
    this.#index = new Map(list.map((name, index) => [name, index]))
  }

  /**
   * The place of a collection in the list.
   *
   * @throws StoreError `BAD_OPERATION`
   */
  indexOf(collection: string): number {
    const index = this.#index.get(collection)
    if (index === undefined) throw new StoreError('BAD_OPERATION', `There is no collection "${collection}".`)
    return index
  }
}

/**
 * Checks a key.
 *
 * @throws StoreError `BAD_OPERATION`
 * @internal
 */
export function checkKey(key: string): void {
  if (typeof key !== 'string' || !keyPattern.test(key)) {
    throw new StoreError('BAD_OPERATION', 'A key must be 1 to 512 printable ASCII characters.')
  }
}

function encodeMeta(key: string, meta: JsonObject): string {
  let text: string | undefined
  try {
    text = JSON.stringify(meta)
  } catch (cause) {
    throw new StoreError('BAD_OPERATION', `The meta of "${key}" is not JSON: ${messageOf(cause)}`, { cause })
  }
  if (text === undefined || text[0] !== '{') {
    throw new StoreError('BAD_OPERATION', `The meta of "${key}" must be a JSON object.`)
  }
  return text
}

function encodeOperation(collections: Collections, operation: Operation): EncodedOperation {
  const { key } = operation
  checkKey(key)
  if ('delete' in operation) {
    return { table: collections.indexOf(operation.delete), key, meta: undefined, body: undefined }
  }
  const { put, meta, body } = operation
  const table = collections.indexOf(put)
  if (body !== undefined && !(body instanceof Uint8Array && body.byteLength <= maxBody)) {
    throw new StoreError('BAD_OPERATION', `The body of "${key}" must be a Uint8Array of at most 512 MiB.`)
  }
  return { table, key, meta: encodeMeta(key, meta), body }
}

/**
 * Checks and encodes a batch.
 *
 * @throws StoreError `BAD_OPERATION`
 * @internal
 */
export function encodeBatch(collections: Collections, batch: readonly Operation[]): EncodedBatch {
  let text = 0
  let bodies = 0
  const operations = batch.map((operation) => {
    const encoded = encodeOperation(collections, operation)
    text += encoded.key.length + (encoded.meta?.length ?? 0)
    bodies += encoded.body?.byteLength ?? 0
    return encoded
  })
  if (text > maxText || bodies > maxBodies) {
    throw new StoreError('BAD_OPERATION', 'A batch may have 64 MiB of keys and meta, and 1 GiB of bodies.')
  }
  return { operations, bytes: text + bodies }
}
