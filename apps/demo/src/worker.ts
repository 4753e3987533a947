/** The worker: the process that surveyors and the historian run in, be it a runner's own, in a pool, or remote. */
import { serveWorker } from 'greenroom/worker'
import { historian } from './historian.ts'
import { surveyor } from './surveyor.ts'

/** What this worker can do, by name. */
export const executors = { surveyor, historian }

await serveWorker({ executors })
