/** A broker alone: prints its URL. */
import { createBroker } from '@greenroom/broker'

const [dir, token, port] = process.argv.slice(2)
if (dir === undefined || token === undefined) throw new Error('the broker needs a folder and a token')
const broker = await createBroker({ dir, listen: { port: Number(port ?? 0) }, token })
console.log(broker.url)
