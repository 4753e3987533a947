/**
 * The commit thread's entry: owns the writing connection, commits group after group.
 *
 * It says `ready` once, then answers each group with `committed` or `failed`. An error outside of that ends the thread,
 * which its owner sees.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { isThreadRequest, isWriterSettings, unpackGroup, type ThreadReply } from './commit-message.ts'
import { Writer } from './writer.ts'

function serve(port: NonNullable<typeof parentPort>, settings: unknown): void {
  if (!isWriterSettings(settings)) throw new TypeError('The commit thread was started without its settings.')
  const writer = new Writer(settings)
  const reply = (message: ThreadReply): void => port.postMessage(message)
  port.on('message', (request: unknown) => {
    if (!isThreadRequest(request)) throw new TypeError('The commit thread got a message that it does not know.')
    if (request.type === 'close') {
      writer.close()
      port.close()
      return
    }
    const failure = writer.apply(unpackGroup(request))
    reply(failure ? { type: 'failed', ...failure } : { type: 'committed' })
  })
  reply({ type: 'ready' })
}

if (parentPort !== null) serve(parentPort, workerData)
