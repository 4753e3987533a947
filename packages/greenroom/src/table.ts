/** Tables, sizes and ages for people. */

/**
 * A table in columns; those of numbers and their like stand to the right.
 *
 * @param head - the columns' names, with `>` before those that stand to the right
 * @param rows - as many cells each
 * @returns lines, each with its end
 */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const isRight = head.map((name) => name.startsWith('>'))
  const all = [head.map((name) => name.replace(/^>/, '')), ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const cellOf = (cell: string, column: number): string =>
    isRight[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)
  return all.map((row) => `${row.map(cellOf).join('  ').trimEnd()}\n`).join('')
}

/**
 * Bytes for people: `17 B`, `1.5 KiB`, `200 MiB`.
 *
 * @param bytes - how many
 */
export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024
  const digits = unit === 0 || value >= 100 ? 0 : 1
  return `${value.toFixed(digits)} ${units[unit]}`
}

const steps = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const

/**
 * An age for people: `3 s`, `5 min`, `2 h`, `40 d`.
 *
 * @param ms - how old; another machine's clock may make it negative
 */
export function age(ms: number): string {
  const [unit, length] = steps.find(([, step]) => ms >= step) ?? ['s', 1_000]
  return `${Math.max(0, Math.floor(ms / length))} ${unit}`
}
