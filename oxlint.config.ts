import { defineConfig } from 'oxlint'
import { arrows, randomNames, runnerFolders, seamGlobals, seamModules, seamProperties } from './scripts/lint/arrows.ts'

const seam = 'Time, chance and I/O are handed in: use the seam, or implement it in src/platform/.'
const nameOf = (pkg: string): string => (pkg === 'greenroom' ? pkg : `@greenroom/${pkg}`)
const doors = (names: readonly string[]): string[] => names.flatMap((name) => [name, `${name}/**`])

/** The packages that `pkg` may not import, itself by name included. */
const arrowPattern = (pkg: string) => ({
  group: doors(
    Object.keys(arrows)
      .filter((other) => !arrows[pkg]?.includes(other))
      .map(nameOf),
  ),
  message: `${pkg} may import only: ${arrows[pkg]?.join(', ') || 'no other package'} (scripts/lint/arrows.ts).`,
})

const purePattern = { group: ['node:*', 'node:*/*'], message: 'proto is pure: no Node modules, it runs in a browser.' }
const seams = [...seamModules.map((name) => `node:${name}`), 'ws']
const seamPaths = [
  ...seams.map((name) => ({
    name,
    message: seam,
    allowTypeImports: true,
  })),
  { name: 'node:crypto', importNames: [...randomNames], message: seam },
]

type Rules = NonNullable<Parameters<typeof defineConfig>[0]['rules']>
type Pattern = { group: string[]; message: string }
const imports = (patterns: Pattern[], paths: typeof seamPaths = []): Rules => ({
  'no-restricted-imports': ['error', { paths, patterns }],
})

/** A later override replaces an earlier one of the same rule, so each names all that holds for its files. */
const importOverrides = Object.keys(arrows).flatMap((pkg) => {
  const always = pkg === 'proto' ? [arrowPattern(pkg), purePattern] : [arrowPattern(pkg)]
  return [
    { files: [`packages/${pkg}/src/**`], rules: imports(always, seamPaths) },
    { files: [`packages/${pkg}/src/platform/**`, `packages/${pkg}/src/**/platform/**`], rules: imports(always) },
  ]
})

const folderOverrides = runnerFolders.map((folder) => ({
  files: [`packages/runner/src/${folder}/**`],
  rules: imports(
    [
      arrowPattern('runner'),
      {
        group: runnerFolders
          .filter((other) => other !== folder)
          .flatMap((other) => [`../**/${other}`, `../**/${other}/**`]),
        message: `${folder}/ does not import its sister folders: they meet only in the runner.`,
      },
    ],
    seamPaths,
  ),
}))

export default defineConfig({
  plugins: ['eslint', 'typescript', 'unicorn', 'oxc', 'import', 'promise', 'vitest'],
  jsPlugins: ['./scripts/lint/plugin.js'],
  options: { typeAware: true, reportUnusedDisableDirectives: 'error' },
  env: { builtin: true, node: true },
  ignorePatterns: [
    '**/dist/**',
    'docs/site/**',
    '**/node_modules/**',
    '.tools/**',
    'apps/e2e/.examples/**',
    'coverage/**',
  ],
  categories: { correctness: 'error' },
  rules: {
    eqeqeq: 'error',
    'no-var': 'error',
    'prefer-const': 'error',
    'no-restricted-globals': ['error', 'event', 'name', 'length'],
    'typescript/no-explicit-any': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/await-thenable': 'error',
    // `signal.reason` is `any`, and passing it on is right.
    'typescript/only-throw-error': ['error', { allowThrowingAny: true, allowThrowingUnknown: true }],
    'typescript/prefer-promise-reject-errors': ['error', { allowThrowingAny: true, allowThrowingUnknown: true }],
    'typescript/return-await': ['error', 'in-try-catch'],
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    'typescript/consistent-type-imports': [
      'error',
      { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
    ],
    'typescript/use-unknown-in-catch-callback-variable': 'error',
    'import/no-cycle': 'error',
    'import/no-self-import': 'error',
    'import/no-default-export': 'error',
    'unicorn/prefer-node-protocol': 'error',
    'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
    'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
  },
  overrides: [
    {
      files: ['packages/*/src/**', 'apps/*/src/**'],
      rules: {
        'typescript/explicit-module-boundary-types': 'error',
        'typescript/no-non-null-assertion': 'error',
        'typescript/no-unsafe-argument': 'error',
        'typescript/no-unsafe-assignment': 'error',
        'typescript/no-unsafe-call': 'error',
        'typescript/no-unsafe-member-access': 'error',
        'typescript/no-unsafe-return': 'error',
        'typescript/no-unsafe-type-assertion': 'error',
      },
    },
    {
      files: ['packages/*/src/**'],
      rules: {
        'no-restricted-globals': [
          'error',
          'event',
          'name',
          'length',
          ...seamGlobals.map((name) => ({ name, message: seam })),
        ],
        'no-restricted-properties': [
          'error',
          ...seamProperties.map(([object, property]) => ({ object, property, message: seam })),
        ],
        'greenroom/no-ambient-date': 'error',
      },
    },
    {
      files: ['packages/*/src/platform/**', 'packages/*/src/**/platform/**'],
      rules: {
        'no-restricted-globals': 'off',
        'no-restricted-properties': 'off',
        'greenroom/no-ambient-date': 'off',
        'typescript/no-unsafe-type-assertion': 'off',
      },
    },
    ...importOverrides,
    ...folderOverrides,
    {
      files: ['**/test/**', '**/*.test.ts', 'scripts/**'],
      rules: {
        'max-lines': 'off',
        'max-lines-per-function': 'off',
        // These do not see an assertion that a contract suite or a function of the test makes.
        'vitest/expect-expect': 'off',
        'vitest/no-conditional-expect': 'off',
        'vitest/require-to-throw-message': 'off',
        'vitest/valid-title': 'off',
        'vitest/valid-expect': ['error', { maxArgs: 2 }],
      },
    },
    {
      // No types there, so these rules see `any` and guess.
      files: ['**/*.{js,mjs}'],
      rules: {
        'typescript/require-array-sort-compare': 'off',
        'typescript/use-unknown-in-catch-callback-variable': 'off',
      },
    },
    {
      files: ['**/*.config.ts', '**/*.config.js', 'scripts/lint/plugin.js', 'scripts/count-reporter.ts'],
      rules: { 'import/no-default-export': 'off' },
    },
  ],
})
