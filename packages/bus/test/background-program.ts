/** Attaches in the background and has nothing else to do. */
import { connectBus } from '@greenroom/bus'

const [url = '', background] = process.argv.slice(2)
const bus = connectBus({ url, token: 'secret', background: background === 'background' })
await bus.attach({ address: 'me', incarnation: 'me-1', lifetime: 'named' })
console.log('attached')
