/** Ranges of keys, resolved to one lower and one upper bound. */
import { StoreError } from './error.ts'
import type { KeyRange, ScanRange } from './store.ts'

/**
 * The bounds of a range: the same for SQL and for a sorted array.
 *
 * @internal
 */
export interface Bounds {
  readonly lower: string | undefined
  /** Whether the key `lower` itself belongs to the range. */
  readonly lowerIncluded: boolean
  /** The key `upper` itself never belongs to the range. */
  readonly upper: string | undefined
}

const bound = /^[\x20-\x7f]{0,520}$/

function checkBound(name: string, value: string | undefined): void {
  if (value !== undefined && !(typeof value === 'string' && bound.test(value))) {
    throw new StoreError('BAD_OPERATION', `range.${name} must be at most 520 ASCII characters`)
  }
}

/** The least string above every string that starts with `prefix`; keys and bounds have no character above 0x7f. */
function endOfPrefix(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
}

/**
 * Resolves the conditions of a range; the narrowest wins.
 *
 * @throws StoreError `BAD_OPERATION`
 * @internal
 */
export function boundsOf(range: KeyRange): Bounds {
  const { prefix, after, before } = range
  checkBound('prefix', prefix)
  checkBound('after', after)
  checkBound('before', before)
  let lower: string | undefined
  let lowerIncluded = true
  let upper: string | undefined
  if (prefix !== undefined && prefix !== '') {
    lower = prefix
    upper = endOfPrefix(prefix)
  }
  if (after !== undefined && (lower === undefined || after >= lower)) {
    lower = after
    lowerIncluded = false
  }
  if (before !== undefined && (upper === undefined || before < upper)) upper = before
  return { lower, lowerIncluded, upper }
}

/**
 * The limit of a scan, or -1 for none, as SQLite's `LIMIT` takes it.
 *
 * @throws StoreError `BAD_OPERATION`
 * @internal
 */
export function limitOf(range: ScanRange): number {
  const { limit } = range
  if (limit === undefined) return -1
  if (!Number.isSafeInteger(limit) || limit < 0) {
    throw new StoreError('BAD_OPERATION', `range.limit must be a whole number from 0 up, not ${limit}`)
  }
  return limit
}
