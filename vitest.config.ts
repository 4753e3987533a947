import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

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

/** The longest file first, at whose end nobody has to wait for it alone. Without a cache vitest goes by size, and it is small. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLongest = ({ moduleId }: TestSpecification): boolean => moduleId.endsWith('/chaos/test/chaos.test.ts')
    return (await super.sort(files)).toSorted((one, other) => Number(isLongest(other)) - Number(isLongest(one)))
  }
}

export default defineConfig({
  // Tests read the sources of sibling packages: nothing has to be built first.
  ssr: { resolve: { conditions: ['@greenroom/source', 'node', 'import', 'module', 'default'] } },
  test: {
    projects,
    testTimeout: 20_000,
    // Most files wait for processes of their own; vitest would run one at a time on two cores.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    sequence: { sequencer: LongestFirst },
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'] },
  },
})
