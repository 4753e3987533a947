import { expect, test } from 'vitest'
import { parseListenAddress } from '../src/listen-address.ts'

test.each([
  ['127.0.0.1:4444', { host: '127.0.0.1', port: 4444 }],
  ['localhost:0', { host: 'localhost', port: 0 }],
  ['[::1]:65535', { host: '::1', port: 65_535 }],
  ['[FE80::1:2]:1', { host: 'FE80::1:2', port: 1 }],
  ['unix:/run/green room.sock', { socket: '/run/green room.sock' }],
  ['unix:relative', { socket: 'relative' }],
])('%s is understood', (text, address) => {
  expect(parseListenAddress(text)).toEqual(address)
})

test.each([
  '',
  '4444',
  ':4444',
  'host',
  'host:',
  'host:65536',
  'host:-1',
  'host:1e3',
  '::1:4444',
  '[host]:1',
  'unix:',
  'a b:1',
])('"%s" is refused', (text) => {
  expect(() => parseListenAddress(text)).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS' }))
})
