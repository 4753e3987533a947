/** Where roles go, and what is known of that before anything is connected. */
import { hostname } from 'node:os'
import { expect, test } from 'vitest'
import { placeOf, stampOf, type Place } from '../src/place.ts'

const remote = { remote: 'wss://far.example:7441', token: 'a-token-of-some-length' }

test('a role without a placement is local, and only a remote one has a token', () => {
  expect(placeOf({})).toEqual({ kind: 'local' })
  expect(placeOf({ placement: 'local' })).toEqual({ kind: 'local' })
  expect(placeOf({ placement: { ...remote, ca: 'PEM' } })).toEqual({ kind: 'remote', ...remote, ca: 'PEM' })
  const pooled = { pool: 'crew', labels: {}, version: undefined, maxWaitMs: 0 }
  expect(placeOf({ placement: { pool: 'crew' } })).toEqual({ kind: 'pool', ...pooled })
  expect(placeOf({ placement: { pool: 'crew', fabric: '/run/crew' } })).toEqual({
    kind: 'fabric',
    fabric: '/run/crew',
    ...pooled,
  })
  const stray = { pool: 'crew', token: 'not for a pool' }
  expect(placeOf({ placement: stray })).toEqual({ kind: 'pool', ...pooled })
  expect(placeOf({ placement: { ...remote, pool: 'crew' } as typeof remote })).toMatchObject({ kind: 'remote' })
})

const places: readonly Place[] = [
  { kind: 'local' },
  { kind: 'remote', ...remote },
  { kind: 'remote', ...remote, remote: 'ws+unix:///run/worker.sock' },
  { kind: 'pool', pool: 'crew', labels: {}, version: undefined, maxWaitMs: 0 },
  { kind: 'fabric', pool: 'crew', fabric: '/run/crew', labels: {}, version: undefined, maxWaitMs: 0 },
]

test('a run is stamped with its kind of place, and the host that is known: of a pool its name', () => {
  expect(places.map(stampOf)).toEqual([
    { kind: 'local', host: hostname() },
    { kind: 'remote', host: 'far.example' },
    { kind: 'remote', host: hostname() },
    { kind: 'pool', host: 'crew' },
    { kind: 'fabric', host: hostname() },
  ])
})
