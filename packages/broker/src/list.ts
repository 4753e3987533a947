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
