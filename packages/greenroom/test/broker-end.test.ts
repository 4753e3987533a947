import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { runBroker } from '../src/broker-command.ts'
import { temporaryFolder } from './program.ts'

/** Stands in for a broker whose store broke: it closes without having been asked to. */
vi.mock('@greenroom/broker', () => ({
  createBroker: async () => ({ closed: Promise.resolve(), [Symbol.asyncDispose]: async () => {} }),
}))

test('a broker that ends by itself is a failure: whoever supervises it starts it again', async () => {
  using folder = temporaryFolder()
  const tokenFile = join(folder.path, 'token')
  writeFileSync(tokenFile, 'a-token-of-enough-length', { mode: 0o600 })
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  const ended = runBroker({ data: folder.path, listen: '127.0.0.1:0', tokenFile })
  await expect(ended).rejects.toThrow('ended by itself')
  write.mockRestore()
  process.removeAllListeners('SIGTERM').removeAllListeners('SIGINT')
})
