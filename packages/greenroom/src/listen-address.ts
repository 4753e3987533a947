/** Where to listen, as the command line says it: `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`. */
import { GreenroomError } from '@greenroom/proto'

/** A TCP port (0: any that is free) or the path of a Unix socket. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly socket: string }

/**
 * Reads an address.
 *
 * @param text - `127.0.0.1:4444`, `[::1]:0`, `unix:/run/greenroom.sock`
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function parseListenAddress(text: string): ListenAddress {
  const socket = /^unix:(.+)$/.exec(text)?.[1]
  if (socket !== undefined) return { socket }
  const [, v6, name, digits] = /^(?:\[([\da-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text) ?? []
  const host = v6 ?? name
  const port = Number(digits)
  if (host !== undefined && port <= 65_535) return { host, port }
  throw new GreenroomError('BAD_OPTIONS', `--listen is HOST:PORT, [IPv6]:PORT or unix:PATH, not "${text}"`)
}
