/** The worker: the process that surveyors run in. */
import { serveWorker } from 'greenroom/worker'
import { surveyor } from './surveyor.ts'

/** What this worker can do, by name. */
export const executors = { surveyor }

await serveWorker({ executors })
