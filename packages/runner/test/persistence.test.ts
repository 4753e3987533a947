import { createManualClock, settle } from '@greenroom/bus/testing'
import { expect, test } from 'vitest'
import { repeat } from '../src/persistence.ts'

test('time that nobody noticed, as of a machine that slept, does not end the trying; time that passed does', async () => {
  const clock = createManualClock()
  let tries = 0
  const failing = (times: number) => (): Promise<string> => {
    tries += 1
    return tries > times ? Promise.resolve('stored') : Promise.reject(new Error('full'))
  }
  const slept = repeat(failing(1), () => true, clock, { withinMs: 1_000 })
  await settle()
  clock.jump(3_600_000)
  expect(await slept).toBe('stored')
  tries = 0
  const late = repeat(failing(Infinity), () => true, clock, { withinMs: 1_000 })
  late.catch(() => undefined)
  await clock.advance(1_000)
  await expect(late).rejects.toThrow('full')
  expect(tries).toBe(5)
})
