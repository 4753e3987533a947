/** A broker in a process of its own, to be killed. Tells its parent when it listens, and ends with it. */
import { createBroker } from '@greenroom/broker'
import { brokerSetup } from './setup.ts'

const die = (): void => process.exit(1)
process.once('disconnect', die)
const { dir, socket, token, operatorToken, pingMs, partitionGraceMs } = brokerSetup.parse(
  JSON.parse(process.argv[2] ?? ''),
)
const broker = await createBroker({
  dir,
  listen: { socket },
  token,
  operatorToken,
  partitionGraceMs,
  limits: { pingMs },
  logger: (level, event, facts) => {
    if (level !== 'info') console.error(new Date().toISOString(), 'broker', level, event, JSON.stringify(facts))
  },
})
process.once('SIGTERM', () => void broker.drain())
process.send?.({ t: 'ready' })
await broker.closed
process.off('disconnect', die).disconnect()
