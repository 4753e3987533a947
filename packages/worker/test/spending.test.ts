/** What an executor that draws on a budget hears of its end. */
import { expect, test } from 'vitest'
import { Spending } from '../src/spending.ts'

test('who is cancelled between two calls hears it at the next, which is told all the same', async () => {
  const spending = new Spending({ tokens: 100 })
  const cancelled = new AbortController()
  const reason = new Error('its parent ended')
  const waiting = spending.counted(1, cancelled.signal)
  cancelled.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  await expect(spending.counted(2, cancelled.signal)).rejects.toBe(reason)
})

test('who draws on no budget is told nothing, and waits for nobody', async () => {
  await expect(new Spending(undefined).counted(1, AbortSignal.abort())).resolves.toBeUndefined()
})
