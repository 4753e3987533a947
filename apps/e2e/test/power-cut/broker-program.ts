/** A stand-alone broker: its data folder, its socket, its token and how it flushes are its arguments. */
import { createBroker } from '@greenroom/broker'

const [dir = '', socket = '', token = '', synchronous] = process.argv.slice(2)
await createBroker({ dir, listen: { socket }, token, synchronous: synchronous === 'normal' ? 'normal' : 'full' })
console.log('ready')
