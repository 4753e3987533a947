import { existsSync, globSync } from 'node:fs'

// At the root alone these have no effect with the "packages" strategy: each package needs them.
const validation = { notExported: true, invalidLink: true, notDocumented: true }

// The order a reader meets them in.
const packages = ['greenroom', 'runner', 'worker', 'bus', 'broker', 'store', 'proto', 'read-only-shell']

const guide = globSync('guide/*.md', { cwd: import.meta.dirname })

/** @type {Partial<import('typedoc').TypeDocOptions>} */
const config = {
  name: 'Greenroom',
  plugin: ['./typedoc-plugin.js'],
  entryPointStrategy: 'packages',
  entryPoints: packages.map((name) => `../packages/${name}`),
  out: 'site',
  readme: existsSync(new URL('../README.md', import.meta.url)) ? '../README.md' : 'none',
  ...(guide.length > 0 ? { projectDocuments: ['guide/*.md'] } : {}),
  treatWarningsAsErrors: true,
  validation,
  // A package's own typedoc.json names its entry points. No source links: they need a git remote.
  packageOptions: {
    entryPoints: ['src/index.ts'],
    excludeInternal: true,
    excludePrivate: true,
    disableSources: true,
    readme: 'none',
    validation,
  },
}

export default config
