/** The worker that the benchmarks start. */
import { echo, serveWorker } from '@greenroom/worker'

export const executors = { echo }
await serveWorker({ executors })
