import { describe, expect, test } from 'vitest'
import { codeOf, errors, GreenroomError, isErrorCode, type ErrorCode, type ErrorRow } from '../src/index.ts'

const rows = Object.entries<ErrorRow>(errors)

describe('the error table', () => {
  test('has a close code at most once, of the range that applications may use', () => {
    const closes = rows.flatMap(([, { close }]) => close ?? [])
    expect(closes.length).toBeGreaterThan(0)
    expect(new Set(closes).size).toBe(closes.length)
    expect(closes.filter((close) => close < 4000 || close > 4999)).toEqual([])
  })

  test('says each meaning in one sentence', () => {
    expect(rows.filter(([, { text }]) => !/^[A-Z].*\.$/.test(text))).toEqual([])
  })
})

describe('an error', () => {
  test('has the message of the table when it is given none, and its retry', () => {
    const error = new GreenroomError('MAILBOX_FULL')
    expect(error).toMatchObject({
      name: 'GreenroomError',
      code: 'MAILBOX_FULL',
      retry: 'later',
      message: errors.MAILBOX_FULL.text,
    })
  })

  test('keeps its cause', () => {
    const cause = new Error('beneath')
    expect(new GreenroomError('CONNECT_FAILED', 'no route', { cause }).cause).toBe(cause)
  })

  test('is known by its code alone, over package copies and process borders', () => {
    expect(codeOf(new GreenroomError('BUSY'))).toBe('BUSY')
    expect(codeOf(JSON.parse('{"code":"BUSY"}'))).toBe('BUSY')
    for (const other of [new Error('x'), { code: 'ENOENT' }, { code: 1 }, 'BUSY', null, undefined])
      expect(codeOf(other)).toBeUndefined()
  })

  test('has no code by inheritance', () => {
    expect(['toString', '__proto__', 'constructor', 5].map(isErrorCode)).toEqual([false, false, false, false])
    expect(rows.every(([code]) => isErrorCode(code))).toBe(true)
    const code: ErrorCode = 'INTERNAL'
    expect(isErrorCode(code)).toBe(true)
  })
})
