import { serveWorker } from 'greenroom/worker'
import { release } from './release.ts'

export const executors = { release }
await serveWorker({ executors }) // serves only when it is the spawned entry, so main.ts may import its types
