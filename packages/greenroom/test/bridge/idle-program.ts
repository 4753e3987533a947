/** Calls a tool over HTTP and is done, without closing its runner. Argument: where the server is. */
import { createRunner, mcpToolServer } from '../../src/index.ts'

const [url = ''] = process.argv.slice(2)
const runner = await createRunner({
  worker: new URL('./worker.ts', import.meta.url),
  bridge: { web: mcpToolServer({ url }) },
  roles: { caller: { executor: 'caller', bridge: { web: 'all' } } },
  dataDir: null,
})
console.log((await runner.run({ role: 'caller', input: [{ do: 'web.add', input: { a: 1, b: 1 } }] }).outcome).status)
