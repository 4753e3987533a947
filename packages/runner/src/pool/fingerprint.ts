/**
 * The fingerprint of a worker: a digest of each thing that it fixed when it was provisioned.
 *
 * Equal fingerprints may share a warm worker. Digests are keyed and short: they tell two values apart within one runner,
 * and nobody who sees them can guess at a value.
 */
import { createHmac } from 'node:crypto'
import { canonicalJson, type JsonValue, type LateBound } from '@greenroom/proto'

/** Field by field, the digest of its value. */
export type Fingerprint = Readonly<Record<string, string>>

/** What a worker fixes, by field: `workspace`, `model`, `secret:API_KEY`, … */
export type Fixed = Readonly<Record<string, JsonValue>>

/** A field in which two fingerprints differ. */
export interface FingerprintDifference {
  /** Its name. */
  readonly field: string
  /** The digest on one side; absent where it has no such field. */
  readonly a?: string
  /** The digest on the other. */
  readonly b?: string
}

/**
 * Makes a fingerprint.
 *
 * @param fixed - what the worker fixes
 * @param lateBound - fields that it does not fix after all: its executor takes them from each run
 * @param key - keys the digests
 */
export function fingerprintOf(fixed: Fixed, lateBound: readonly LateBound[], key: string): Fingerprint {
  const late = new Set<string>(lateBound)
  const fields = Object.entries(fixed).filter(([field]) => !late.has(field))
  return Object.fromEntries(fields.map(([field, value]) => [field, digestOf(value, key)]))
}

/**
 * The digest of one value.
 *
 * @param value - any JSON
 * @param key - keys the digest
 */
export function digestOf(value: JsonValue, key: string): string {
  return createHmac('sha256', key).update(canonicalJson(value)).digest('hex').slice(0, 16)
}

/**
 * Why a worker cannot be used for a run: the fields in which their fingerprints differ, by digests only.
 *
 * @param a - one fingerprint
 * @param b - the other
 * @returns nothing when they are equal
 *
 * @example
 * ```ts
 * import { explainReuse } from '@greenroom/runner/pool'
 *
 * const parked = { role: '5ad1f20c33aa91f0', workspace: 'c0ffee0123456789' }
 * const wanted = { role: '5ad1f20c33aa91f0', workspace: '9876543210c0ffee' }
 * console.log(explainReuse(parked, wanted).map(({ field }) => field)) // [ 'workspace' ]
 * ```
 */
export function explainReuse(a: Fingerprint, b: Fingerprint): readonly FingerprintDifference[] {
  const fields = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...fields].toSorted().flatMap((field) => {
    const one = a[field]
    const other = b[field]
    if (one === other) return []
    return [{ field, ...(one === undefined ? {} : { a: one }), ...(other === undefined ? {} : { b: other }) }]
  })
}
