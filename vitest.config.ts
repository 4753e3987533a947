import { readdirSync, readFileSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

// One project a workspace package, named as the package. Projects do not inherit the root's resolve
// conditions unless they extend it, so each says `extends: true`.
const projects = ['packages', 'apps'].flatMap((group) =>
  readdirSync(new URL(group, import.meta.url)).map((folder) => {
    const root = `${group}/${folder}`
    const manifest = new URL(`${root}/package.json`, import.meta.url)
    const { name } = JSON.parse(readFileSync(manifest, 'utf8')) as { name: string }
    return { extends: true as const, root, test: { name, include: ['test/**/*.test.ts', 'src/**/*.test.ts'] } }
  }),
)

export default defineConfig({
  // Tests read the sources of sibling packages: nothing has to be built first.
  ssr: { resolve: { conditions: ['@greenroom/source', 'node', 'import', 'module', 'default'] } },
  test: {
    projects,
    testTimeout: 20_000,
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'] },
  },
})
