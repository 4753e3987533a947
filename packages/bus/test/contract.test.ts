/** What the contract consists of; that an implementation keeps it is shown where that is. */
import { applicable, busContract } from '@greenroom/bus/testing'
import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'

const folder = new URL('../src/testing/', import.meta.url)

test('the contract is all cases of all its parts, each once', async () => {
  const parts = readdirSync(folder).filter((name) => name.endsWith('-cases.ts'))
  const exported = await Promise.all(parts.map((name): Promise<object> => import(new URL(name, folder).href)))
  const cases: readonly unknown[] = exported.flatMap((part) => Object.values(part).flat())
  expect(cases.length).toBeGreaterThan(50)
  expect(new Set(busContract)).toEqual(new Set(cases))
  expect(busContract).toHaveLength(cases.length)
  expect(new Set(busContract.map(({ name }) => name)).size).toBe(cases.length)
})

test('who is able to do all has all of it, and who lacks something has what goes without', () => {
  const capabilities = ['durable', 'ttl', 'quotas', 'dead-letters', 'visibility'] as const
  const controls = ['cut', 'restart', 'advance', 'operator', 'settings'] as const
  expect(applicable({ capabilities, controls })).toEqual(busContract)
  expect(applicable()).toEqual(
    busContract.filter(({ needs = [], controls: wanted = [] }) => needs.length + wanted.length === 0),
  )
  for (const lacked of capabilities)
    expect(applicable({ capabilities: capabilities.filter((name) => name !== lacked), controls })).toEqual(
      busContract.filter(({ needs = [] }) => !needs.includes(lacked)),
    )
  for (const lacked of controls)
    expect(applicable({ capabilities, controls: controls.filter((name) => name !== lacked) })).toEqual(
      busContract.filter(({ controls: wanted = [] }) => !wanted.includes(lacked)),
    )
})
