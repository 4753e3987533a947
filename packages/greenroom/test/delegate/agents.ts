/** What the tests give `greenroom mcp`. */
import type { Delegation } from '../../src/index.ts'

console.log('the file is imported')

// oxlint-disable-next-line import/no-default-export -- it is what the command reads
export default {
  runner: {
    worker: new URL('./worker.ts', import.meta.url),
    roles: { worker: { executor: 'work' }, lead: { executor: 'lead' }, helper: { executor: 'work' } },
    dataDir: process.env['DELEGATE_DATA'] ?? null,
    env: ['PATH'],
  },
  delegates: {
    worker: { description: 'Does one thing' },
    lead: { description: 'Has somebody else do it' },
  },
} satisfies Delegation
