/** Where a run's worker is to be, and is. */
import { isName, poolRole } from '@greenroom/proto'
import { hostName } from './platform/surroundings.ts'
import type { PoolPlacement, RemotePlacement, RoleOptions } from './options.ts'
import type { PlacedWorker } from './placement/index.ts'
import type { PoolMiss } from './pool/index.ts'
import type { RunStatus } from './run.ts'
import { bad, isObject } from './option-check.ts'

/** Where a role's runs go. */
export type Place =
  | { readonly kind: 'local' }
  | ({ readonly kind: 'pool' } & Pooled)
  | ({ readonly kind: 'fabric'; readonly fabric: string } & Pooled)
  | ({ readonly kind: 'remote' } & RemotePlacement)

/** Which workers of a pool, wherever that is. */
interface Pooled {
  readonly pool: string
  readonly labels: Readonly<Record<string, string>>
  readonly version: string | undefined
  readonly maxWaitMs: number
}

const placementOptions: Readonly<Record<keyof RemotePlacement | keyof PoolPlacement, true>> = {
  remote: true,
  token: true,
  ca: true,
  insecure: true,
  pool: true,
  fabric: true,
  labels: true,
  version: true,
  maxWaitMs: true,
}

/**
 * The place of a role.
 *
 * @param role - it, checked
 */
export function placeOf({ placement = 'local' }: Pick<RoleOptions, 'placement'>): Place {
  if (placement === 'local') return { kind: 'local' }
  // Where both are said the remote it is.
  if ('remote' in placement) return { kind: 'remote', ...placement }
  const { pool, fabric, labels = {}, version, maxWaitMs = 0 } = placement
  const pooled = { pool, labels, version, maxWaitMs }
  return fabric === undefined ? { kind: 'pool', ...pooled } : { kind: 'fabric', fabric, ...pooled }
}

/**
 * What is known of a run's place before anything is connected.
 *
 * @param place - where it is to go
 */
export function stampOf(place: Place): NonNullable<RunStatus['placement']> {
  switch (place.kind) {
    case 'local':
      return { kind: 'local', host: hostName }
    case 'pool':
      return { kind: 'pool', host: place.pool }
    case 'fabric':
      return { kind: 'fabric', host: hostName }
    case 'remote':
      return { kind: 'remote', host: hostOf(place.remote) }
  }
}

/** Of an endpoint; a socket is on this machine. */
function hostOf(url: string): string {
  return URL.parse(url)?.hostname || hostName
}

/**
 * What a run's status says of its worker.
 *
 * @param worker - its own
 * @param warm - whether that was there before the run
 * @param miss - why it was not
 */
export function standOf(
  { kind, host, address, pid }: PlacedWorker,
  warm: boolean,
  miss: PoolMiss | undefined,
): Partial<RunStatus> {
  return {
    placement: { kind, host },
    worker: { address, warm, ...(miss === undefined ? {} : { miss }), ...(pid === undefined ? {} : { pid }) },
  }
}

/**
 * Checks a role's placement, and what it keeps the role from having.
 *
 * @param field - names the role
 * @param role - it
 * @param hasBus - whether the runner's bus is one that others reach
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkPlacement(field: string, role: RoleOptions, hasBus: boolean): void {
  const { placement = 'local' } = role
  if (placement === 'local') return
  const at = `${field}.placement`
  if (!isObject(placement)) throw bad(at, "'local' or an object")
  const unknown = Object.keys(placement).find((name) => !Object.hasOwn(placementOptions, name))
  if (unknown !== undefined) throw bad(`${at}: "${unknown}"`, `one of ${Object.keys(placementOptions).join(', ')}`)
  if ('remote' in placement) checkRemote(at, placement)
  else checkPool(at, placement, hasBus)
  for (const name of ['secrets', 'env', 'detached'] as const)
    if (role[name] !== undefined)
      throw bad(`${field}.${name}`, 'left out: its workers are not started here, and have their own')
}

/**
 * Checks that roles at one endpoint agree: the runner has one connection to each.
 *
 * @param roles - by name, checked
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkEndpoints(roles: Readonly<Record<string, RoleOptions>>): void {
  const known = new Map<string, RemotePlacement>()
  for (const [name, { placement }] of Object.entries(roles)) {
    if (typeof placement !== 'object' || !('remote' in placement)) continue
    const { remote, token, ca, insecure = false } = known.get(placement.remote) ?? placement
    known.set(remote, { remote, token, insecure, ...(ca === undefined ? {} : { ca }) })
    const isText = typeof token === 'string' && typeof placement.token === 'string'
    if ((isText && token !== placement.token) || ca !== placement.ca || insecure !== (placement.insecure ?? false))
      throw bad(`roles.${name}.placement`, `with the token, ca and insecure that other roles have for ${remote}`)
  }
}

function checkRemote(at: string, { remote, token, ca, insecure }: RemotePlacement): void {
  if (typeof remote !== 'string' || !/^(wss?|ws\+unix):/.test(remote))
    throw bad(`${at}.remote`, 'a ws, wss or ws+unix URL')
  if (typeof token !== 'function' && (typeof token !== 'string' || token === ''))
    throw bad(`${at}.token`, 'a token, or a function that gives one')
  if (ca !== undefined && typeof ca !== 'string') throw bad(`${at}.ca`, 'a certificate as PEM')
  if (insecure !== undefined && typeof insecure !== 'boolean') throw bad(`${at}.insecure`, 'true or false')
}

function checkPool(at: string, { pool, fabric, labels, version, maxWaitMs }: PoolPlacement, hasBus: boolean): void {
  const isRole: boolean = typeof pool === 'string' && isName(pool) && isName(poolRole(pool))
  if (!isRole) throw bad(`${at}.pool`, 'a name: letters, digits, ".", "_", "-"')
  const isText = (value: unknown): boolean => typeof value === 'string'
  if (labels !== undefined && !(isObject(labels) && Object.values(labels).every(isText)))
    throw bad(`${at}.labels`, 'an object of texts')
  if (version !== undefined && !isText(version)) throw bad(`${at}.version`, 'a text')
  if (maxWaitMs !== undefined && !(typeof maxWaitMs === 'number' && maxWaitMs >= 0))
    throw bad(`${at}.maxWaitMs`, 'a number of milliseconds')
  if (fabric !== undefined && (typeof fabric !== 'string' || fabric === '')) throw bad(`${at}.fabric`, 'a path')
  if (fabric === undefined && !hasBus)
    throw bad(`${at}.pool`, 'on a bus that others reach, createRunner({ bus }), or in a folder: fabric')
}
