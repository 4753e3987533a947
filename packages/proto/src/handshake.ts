/** The handshake: two sides agree on a wire version and on what both can do, or say by name what is missing. */
import { GreenroomError } from './error.ts'
import type { Hello, Welcome } from './header.ts'
import { wire } from './limits.ts'

/** What a side offers. */
export interface Offer {
  /** What the side can do, by name. */
  readonly capabilities: readonly string[]
  /** What the other side must be able to do, by name. */
  readonly required?: readonly string[]
}

/** What two sides agreed on. */
export interface Agreement {
  /** The wire version to speak. */
  readonly wire: number
  /** What both can do. */
  readonly capabilities: ReadonlySet<string>
}

/**
 * What the broker makes of a client's hello.
 *
 * @param hello - the client's
 * @param ours - what the broker offers and demands
 * @throws GreenroomError `UNSUPPORTED_VERSION`, `MISSING_CAPABILITY` (naming it)
 */
export function agree(hello: Hello, ours: Offer): Agreement {
  const newest = Math.min(hello.wire, wire.version)
  const oldest = Math.max(hello.oldest ?? hello.wire, wire.oldestVersion)
  if (newest < oldest)
    throw new GreenroomError(
      'UNSUPPORTED_VERSION',
      `the client speaks wire ${hello.oldest ?? hello.wire} to ${hello.wire}, the broker ${wire.oldestVersion} to ${wire.version}`,
    )
  demand(hello.required, ours.capabilities, 'the broker')
  demand(ours.required, hello.capabilities, 'the client')
  return { wire: newest, capabilities: new Set(hello.capabilities.filter((name) => ours.capabilities.includes(name))) }
}

/**
 * What the client makes of the broker's welcome.
 *
 * @param welcome - the broker's
 * @param ours - what the client offers and demands
 * @throws GreenroomError `UNSUPPORTED_VERSION`, `MISSING_CAPABILITY` (naming it)
 */
export function confirm(welcome: Welcome, ours: Offer): Agreement {
  if (welcome.wire > wire.version || welcome.wire < wire.oldestVersion)
    throw new GreenroomError(
      'UNSUPPORTED_VERSION',
      `the broker chose wire ${welcome.wire}, the client speaks ${wire.oldestVersion} to ${wire.version}`,
    )
  demand(ours.required, welcome.capabilities, 'the broker')
  return {
    wire: welcome.wire,
    capabilities: new Set(welcome.capabilities.filter((name) => ours.capabilities.includes(name))),
  }
}

function demand(required: readonly string[] | undefined, offered: readonly string[], who: string): void {
  const missing = required?.find((name) => !offered.includes(name))
  if (missing !== undefined) throw new GreenroomError('MISSING_CAPABILITY', `${who} does not offer "${missing}"`)
}
