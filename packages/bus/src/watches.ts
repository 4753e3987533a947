/**
 * Who follows which role.
 *
 * - *W1* A listener first hears of everyone who is not gone, then of every change; never from within `watch`.
 * - *W2* A new connection asks again. What differs from what was known is told as changes. Who is missing in the new
 *   snapshot may only be unknown to this broker: they become `suspect`, not gone. Whoever must know fences them.
 */
import type { PresenceChange } from '@greenroom/proto'

/** How watches reach the broker. */
export interface WatchesOptions {
  /** Asks for a role: the answer goes to {@link Watches.snapshot}. */
  readonly subscribe: (role: string) => void
  readonly unsubscribe: (role: string) => void
  /** Runs a task later. */
  readonly defer: (task: () => void) => void
  /** Calls a listener, and keeps what it throws. */
  readonly guard: (call: () => void) => void
}

interface Watcher {
  readonly listener: (change: PresenceChange) => void
  /** Whether it was told who is there (W1): changes before that are in the snapshot. */
  told: boolean
}

interface Role {
  readonly name: string
  readonly watchers: Set<Watcher>
  readonly members: Map<string, PresenceChange>
}

/** See W1 and W2. */
export class Watches {
  readonly #options: WatchesOptions
  readonly #roles = new Map<string, Role>()

  constructor(options: WatchesOptions) {
    this.#options = options
  }

  /**
   * Adds a listener.
   *
   * @returns takes it away
   */
  watch(role: string, listener: (change: PresenceChange) => void): () => void {
    const watched = this.#roles.get(role) ?? this.#open(role)
    const watcher: Watcher = { listener, told: false }
    watched.watchers.add(watcher)
    this.#options.defer(() => {
      watcher.told = true
      for (const member of watched.members.values()) this.#tell(watched, watcher, member)
    })
    return () => {
      if (!watched.watchers.delete(watcher) || watched.watchers.size > 0) return
      this.#roles.delete(role)
      this.#options.unsubscribe(role)
    }
  }

  /** A new connection: asks for every role again (W2). */
  resubscribe(): void {
    for (const role of this.#roles.keys()) this.#options.subscribe(role)
  }

  /** The answer to a subscription. */
  snapshot(role: string, members: readonly PresenceChange[]): void {
    const watched = this.#roles.get(role)
    if (watched === undefined) return
    const present = new Set(members.map(keyOf))
    for (const [key, known] of watched.members)
      if (!present.has(key) && known.state === 'attached') this.#change(watched, { ...known, state: 'suspect' })
    for (const member of members)
      if (JSON.stringify(member) !== JSON.stringify(watched.members.get(keyOf(member)))) this.#change(watched, member)
  }

  /** Somebody changed, perhaps into another role: those who followed the old one hear of it too. */
  change(change: PresenceChange): void {
    for (const [role, watched] of this.#roles)
      if (role === change.presence.role || watched.members.has(keyOf(change))) this.#change(watched, change)
  }

  /** Forgets everybody. */
  end(): void {
    for (const watched of this.#roles.values()) watched.watchers.clear()
    this.#roles.clear()
  }

  #open(role: string): Role {
    const watched: Role = { name: role, watchers: new Set(), members: new Map() }
    this.#roles.set(role, watched)
    this.#options.subscribe(role)
    return watched
  }

  #change(watched: Role, change: PresenceChange): void {
    if (change.state === 'gone' || change.presence.role !== watched.name) watched.members.delete(keyOf(change))
    else watched.members.set(keyOf(change), change)
    for (const watcher of watched.watchers) if (watcher.told) this.#tell(watched, watcher, change)
  }

  #tell(watched: Role, watcher: Watcher, change: PresenceChange): void {
    if (watched.watchers.has(watcher)) this.#options.guard(() => watcher.listener(change))
  }
}

/** Two lives at one address are two members. */
function keyOf(change: PresenceChange): string {
  return `${change.address} ${change.incarnation}`
}
