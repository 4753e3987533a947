/**
 * Who may import whom, as data: the one place that says it. `oxlint.config.ts` turns it into rules.
 */

/** The packages each package's sources may import. An arrow is an import; nothing runs back up. */
export const arrows: Readonly<Record<string, readonly string[]>> = {
  proto: [],
  store: [],
  'read-only-shell': [],
  bus: ['proto'],
  broker: ['proto', 'store'],
  worker: ['proto', 'bus'],
  runner: ['proto', 'bus', 'store', 'broker', 'read-only-shell'],
  greenroom: ['proto', 'store', 'bus', 'broker', 'worker', 'runner'],
}

/** The runner's folders that meet only in the runner: they do not import each other. */
export const runnerFolders: readonly string[] = ['placement', 'pool', 'approval', 'drive']

/** What reaches the outside world. Only `src/platform/` may import it (types are free). */
export const seamModules: readonly string[] = [
  'fs',
  'fs/promises',
  'sqlite',
  'child_process',
  'worker_threads',
  'cluster',
  'net',
  'tls',
  'http',
  'https',
  'http2',
  'dgram',
  'dns',
  'dns/promises',
  'timers',
  'timers/promises',
]

/** Names of `node:crypto` that draw randomness. */
export const randomNames: readonly string[] = [
  'randomBytes',
  'randomFill',
  'randomFillSync',
  'randomInt',
  'randomUUID',
  'getRandomValues',
  'webcrypto',
]

/** Globals that are time or the network. */
export const seamGlobals: readonly string[] = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'fetch',
  'WebSocket',
  'EventSource',
]

/** Properties that read time or draw randomness. */
export const seamProperties: readonly (readonly [object: string, property: string])[] = [
  ['Date', 'now'],
  ['Math', 'random'],
  ['performance', 'now'],
  ['process', 'hrtime'],
  ['AbortSignal', 'timeout'],
  ['crypto', 'randomUUID'],
  ['crypto', 'getRandomValues'],
  ...seamGlobals.map((name) => ['globalThis', name] as const),
]
