/** Lists that travel in a header, which has 16 KiB: measured in bytes, since text outside of ASCII takes several each. */

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
 * @param rows - each with where it stands; the first {@link pageLength} of what is left
 */
export function pageOf<Row extends object>(rows: readonly (readonly [key: string, row: Row])[]): Page<Row> {
  const end = fitting(rows.map(([, row]) => row))
  const isAll = end === rows.length && rows.length < pageLength
  return { rows: rows.slice(0, end).map(([, row]) => row), next: isAll ? undefined : rows[end - 1]?.[0] }
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
