/** A runner with a bridge, to be killed: its arguments are a server's ledger. */
import { fileURLToPath } from 'node:url'
import { createRunner, mcpToolServer } from '../../src/index.ts'

const [ledger = ''] = process.argv.slice(2)
const server = fileURLToPath(new URL('./server.ts', import.meta.url))
const runner = await createRunner({
  worker: new URL('./worker.ts', import.meta.url),
  bridge: {
    lamp: mcpToolServer({
      command: process.execPath,
      args: ['--conditions=@greenroom/source', server],
      env: { LEDGER: ledger },
    }),
  },
  roles: { caller: { executor: 'caller', bridge: { lamp: 'all' } } },
  dataDir: null,
})
console.log((await runner.run({ role: 'caller', input: [{ do: 'lamp.hang' }] }).outcome).status)
