/** `docs/reliability.md` names tests that exist. */
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const root = new URL('../../../', import.meta.url)

/** Where a test stands that the document calls `area/name`. */
function fileOf(key: string): URL {
  const [area = '', name = ''] = key.split('/')
  if (area === 'suite') return new URL(`packages/bus/src/testing/${name}-cases.ts`, root)
  const folder = existsSync(new URL(`packages/${area}/`, root)) ? 'packages' : 'apps'
  return new URL(`${folder}/${area}/test/${name}.test.ts`, root)
}

test('every test that docs/reliability.md names is there', () => {
  const rows = readFileSync(new URL('docs/reliability.md', root), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| '))
  const proofs = rows.flatMap((row) => [...row.matchAll(/`([a-z0-9]+\/[a-z-]+)`((?:,? “[^”]+”)+)/g)])
  const missing = proofs.flatMap(([, key = '', names = '']) => {
    const file = fileOf(key)
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    return [...names.matchAll(/“([^”]+)”/g)]
      .map(([, name = '']) => [key, name])
      .filter(([, name = '']) => !text.includes(name))
  })
  expect(missing).toEqual([])
  // Whatever is quoted was found by the pattern above, and each row has a proof or says that there is none.
  const quoted = rows.join('').match(/“/g)?.length
  expect(
    proofs
      .map(([, , names = '']) => names)
      .join('')
      .match(/“/g)?.length,
  ).toBe(quoted)
  const unproven = rows.filter(
    (row) => !row.includes('“') && !row.includes('Not there yet') && !/^\| (?:-|Promise|Fault)/.test(row),
  )
  expect(unproven).toEqual([])
})
