/** A broker as a program: its data folder, socket and token are its arguments. */
import { createBroker } from '../src/index.ts'

const [dir = '', socket = '', token = ''] = process.argv.slice(2)
await createBroker({ dir, listen: { socket }, token })
console.log('ready')
