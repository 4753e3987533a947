/** Lists that travel in a header, which has 16 KiB: measured in bytes, since text outside of ASCII takes several each. */
import type { StoredRecord } from '@greenroom/store'

/** What a list may take; the rest of the header is for what stands beside it. */
const listBytes = 12 * 1024

const encoder = new TextEncoder()

/** Bytes of a value as JSON. */
export function jsonBytes(value: object): number {
  return encoder.encode(JSON.stringify(value)).length
}

/** How many rows, from the first on, fit into one header. */
export function fitting(rows: readonly object[]): number {
  let bytes = 0
  const end = rows.findIndex((row) => {
    bytes += jsonBytes(row) + 1
    return bytes > listBytes
  })
  return end < 0 ? rows.length : end
}

/** A part of a list. */
export interface Page<Row> {
  readonly rows: readonly Row[]
  /** There is more, after this; undefined at the end. */
  readonly next: string | undefined
}

/** How many records are looked at for a page: more than fit. */
export const pageLength = 128

/**
 * As much of a list as fits into a header.
 *
 * @param records - the first {@link pageLength} of what is left
 * @param read - makes a row of one; undefined where it is none
 */
export function pageOf<Row extends object>(
  records: readonly StoredRecord[],
  read: (record: StoredRecord) => Row | undefined,
): Page<Row> {
  const found = records.flatMap((record) => {
    const row = read(record)
    return row === undefined ? [] : [{ key: record.key, row }]
  })
  const end = fitting(found.map(({ row }) => row))
  const more = records.length < pageLength ? undefined : records.at(-1)?.key
  return { rows: found.slice(0, end).map(({ row }) => row), next: end < found.length ? found[end - 1]?.key : more }
}

/** The whole of a list, a page at a time. */
export async function allOf<Row>(read: (after: string | undefined) => Promise<Page<Row>>): Promise<readonly Row[]> {
  const all: Row[] = []
  for (let after: string | undefined; ;) {
    const { rows, next } = await read(after)
    all.push(...rows)
    if (next === undefined) return all
    after = next
  }
}
