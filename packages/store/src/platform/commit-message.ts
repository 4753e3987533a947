/**
 * What the commit thread and its owner say to each other.
 *
 * A group travels as one JSON text and one buffer that holds all bodies, and that buffer is transferred. So a body is
 * copied once, the caller's buffers are never detached, and a small view of a large buffer costs only its own bytes (a
 * structured clone would copy all of the large one). JSON takes a third of the time of a structured clone of the lists.
 */
import type { EncodedBatch, EncodedOperation } from '../operation.ts'
import type { CommitFailure, WriterSettings } from './writer.ts'

/** Operation `i` is the i-th element of each list. */
interface PackedLists {
  readonly tables: readonly number[]
  readonly keys: readonly string[]
  /** JSON text; empty for a delete. */
  readonly metas: readonly string[]
  /** Bytes of the body in `bodies`, one body after the other; -1 for a put without one, -2 for a delete. */
  readonly lengths: readonly number[]
}

/**
 * A group of operations.
 *
 * @internal
 */
export interface PackedGroup {
  readonly type: 'commit'
  /** JSON text of its lists. */
  readonly lists: string
  readonly bodies: Uint8Array<ArrayBuffer>
}

/**
 * To the thread.
 *
 * @internal
 */
export type ThreadRequest = PackedGroup | { readonly type: 'close' }

/**
 * From the thread.
 *
 * @internal
 */
export type ThreadReply =
  | { readonly type: 'ready' }
  | { readonly type: 'committed' }
  | ({ readonly type: 'failed' } & CommitFailure)

const noBody = -1
const isDelete = -2

/**
 * Packs a group; transfer `bodies.buffer` with it.
 *
 * @internal
 */
export function packGroup(group: readonly EncodedBatch[]): PackedGroup {
  const operations = group.flatMap((batch) => batch.operations)
  const lengths = operations.map(({ meta, body }) => (meta === undefined ? isDelete : (body?.byteLength ?? noBody)))
  const bodies = new Uint8Array(lengths.reduce((sum, length) => sum + Math.max(0, length), 0))
  let offset = 0
  for (const { body } of operations) {
    if (body === undefined) continue
    bodies.set(body, offset)
    offset += body.byteLength
  }
  const lists: PackedLists = {
    tables: operations.map(({ table }) => table),
    keys: operations.map(({ key }) => key),
    metas: operations.map(({ meta }) => meta ?? ''),
    lengths,
  }
  return { type: 'commit', lists: JSON.stringify(lists), bodies }
}

function isPackedLists(value: unknown): value is PackedLists {
  if (typeof value !== 'object' || value === null) return false
  return 'tables' in value && 'keys' in value && 'metas' in value && 'lengths' in value
}

/**
 * The operations of a packed group. Bodies are views of its buffer.
 *
 * @internal
 */
export function* unpackGroup(group: PackedGroup): Generator<EncodedOperation> {
  const lists: unknown = JSON.parse(group.lists)
  if (!isPackedLists(lists)) throw new TypeError('The lists of a group are malformed.')
  const { bodies } = group
  const { tables, keys, metas, lengths } = lists
  let offset = 0
  for (const [index, key] of keys.entries()) {
    const table = tables[index] ?? -1
    const length = lengths[index] ?? isDelete
    const meta = length === isDelete ? undefined : metas[index]
    const body = length < 0 ? undefined : bodies.subarray(offset, offset + length)
    offset += Math.max(0, length)
    yield { table, key, meta, body }
  }
}

function typeOf(message: unknown): unknown {
  return typeof message === 'object' && message !== null && 'type' in message ? message.type : undefined
}

/**
 * Tells whether a message is a request.
 *
 * @internal
 */
export function isThreadRequest(message: unknown): message is ThreadRequest {
  const type = typeOf(message)
  return type === 'commit' || type === 'close'
}

/**
 * Tells whether a message is a reply.
 *
 * @internal
 */
export function isThreadReply(message: unknown): message is ThreadReply {
  const type = typeOf(message)
  return type === 'ready' || type === 'committed' || type === 'failed'
}

/**
 * Tells whether a thread's `workerData` are a writer's settings.
 *
 * @internal
 */
export function isWriterSettings(data: unknown): data is WriterSettings {
  return typeof data === 'object' && data !== null && 'path' in data && 'collections' in data && 'synchronous' in data
}
