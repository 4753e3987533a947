/** Presence: who of a role is there, pushed to whoever watches that role. */
import { GreenroomError, type Presence, type PresenceChange, type PresenceState } from '@greenroom/proto'
import { jsonBytes } from './list.ts'
import type { Mailbox, Owner } from './mailbox.ts'

/** Beside an address it still fits into a header. */
const presenceBytes = 8 * 1024

/**
 * Refuses a presence that watchers could not be told of.
 *
 * @throws GreenroomError `FRAME_TOO_LARGE`
 */
export function checkPresence(presence: Presence): void {
  if (jsonBytes(presence) > presenceBytes)
    throw new GreenroomError('FRAME_TOO_LARGE', `presence above ${presenceBytes} bytes`)
}

/** Hears of changes. */
export type Watcher = (change: PresenceChange) => void

/** The members of each role, and its watchers. */
export class PresenceBoard {
  readonly #members = new Map<string, Map<string, PresenceChange>>()
  readonly #watchers = new Map<string, Set<Watcher>>()

  /**
   * Tells where an owner stands now; one without presence is not listed.
   *
   * @param options - `was`: the role it had before, when that changed; `seenDead`: see {@link PresenceChange}
   */
  tell(
    { address }: Mailbox,
    { incarnation, presence }: Owner,
    state: PresenceState,
    { was, seenDead = false }: { readonly was?: string | undefined; readonly seenDead?: boolean } = {},
  ): void {
    if (presence === undefined) return
    const change: PresenceChange = { address, incarnation, state, presence, ...(seenDead && { seenDead }) }
    if (was !== undefined && was !== presence.role) {
      this.#drop(was, address)
      this.#push(was, change)
    }
    if (state === 'gone') this.#drop(presence.role, address)
    else {
      const members = this.#members.get(presence.role) ?? new Map<string, PresenceChange>()
      this.#members.set(presence.role, members.set(address, change))
    }
    this.#push(presence.role, change)
  }

  #drop(role: string, address: string): void {
    const members = this.#members.get(role)
    members?.delete(address)
    if (members?.size === 0) this.#members.delete(role)
  }

  /**
   * Follows a role.
   *
   * @returns everyone of it who is not gone, and what ends the subscription
   */
  watch(role: string, watcher: Watcher): { readonly members: readonly PresenceChange[]; readonly stop: () => void } {
    const watchers = this.#watchers.get(role) ?? new Set<Watcher>()
    this.#watchers.set(role, watchers.add(watcher))
    const stop = (): void => {
      watchers.delete(watcher)
      if (watchers.size === 0 && this.#watchers.get(role) === watchers) this.#watchers.delete(role)
    }
    return { members: [...(this.#members.get(role)?.values() ?? [])], stop }
  }

  #push(role: string, change: PresenceChange): void {
    for (const watcher of this.#watchers.get(role) ?? []) watcher(change)
  }
}
