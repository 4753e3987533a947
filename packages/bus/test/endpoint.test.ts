/** What a broker's url says, and to whom it would show a token. */
import { describe, expect, test } from 'vitest'
import { parseEndpoint, safeEndpoint } from '../src/endpoint.ts'

describe('a token is shown', () => {
  test.each([
    'ws://localhost:1',
    'ws://127.0.0.1:1',
    'ws://127.8.9.10',
    'ws://[::1]:1',
    'ws+unix:///tmp/socket',
    'wss://broker.example',
  ])('to nobody by %s', (url) => {
    expect(() => safeEndpoint(url)).not.toThrow()
  })

  test.each([
    'ws://localhost.example',
    'ws://not-localhost',
    'ws://127.0.0.1.example',
    'ws://127.example',
    'ws://my127.0.0.1.example',
    'ws://10.0.0.1',
    'WS://10.0.0.1',
    'ws://[::2]',
    'ws://[::]',
    'ws://[::1:1]',
  ])('to a network by %s, which is refused unless one insists', (url) => {
    expect(() => safeEndpoint(url)).toThrow(expect.objectContaining({ code: 'INSECURE_URL' }))
    expect(safeEndpoint(url, true)).toEqual({ kind: 'tcp', url })
  })
})

test.each([
  ['ws+unix:///a/b.sock', '/a/b.sock'],
  ['ws+unix:/a/b.sock', '/a/b.sock'],
  ['ws+unix:///a/b.sock:/path', '/a/b.sock'],
])('%s is the socket %s', (url, path) => {
  expect(parseEndpoint(url)).toEqual({ kind: 'unix', path })
})

test.each(['http://localhost', 'ws://localhost#part', 'ws+unix:', 'localhost:1', ''])('"%s" is none', (url) => {
  expect(() => parseEndpoint(url)).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS' }))
})
