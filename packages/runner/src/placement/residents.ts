/**
 * Residents: the workers of one presence role, which others started and share.
 *
 * - *M1* Only one that is attached, serves the executor in the wanted version, has the labels and shows a free slot is chosen.
 * - *M2* What this runner sent to one that has not accepted it yet counts as taken there.
 * - *M3* One that refused is left alone until it shows something new, or for a moment: its slot was taken by somebody else.
 * - *M4* Where a run of this runner has just ended the slot is about to be shown: that is waited for, whoever may not wait.
 * - *M5* None is ever ended from here: see {@link ResidentWorker}.
 * - *M6* Where a slot is held by a run of this runner's own that waits, that one may make room. For that, and for its own slot
 *   if it had given that up, a run waits a while, whatever it was told: it is our doing that it has none.
 */
import {
  GreenroomError,
  type Clock,
  type Peer,
  type Presence,
  type PresenceChange,
  type Random,
} from '@greenroom/proto'
import { Change } from '../change.ts'
import { choose } from './choice.ts'
import { heldByAncestors, type Full, type Outlook } from './full.ts'
import type { PlaceKind } from './placement.ts'
import { ResidentWorker } from './resident.ts'

/** Which worker is wanted. */
export interface ResidentNeed {
  /** The executor that it has to serve. */
  readonly executor: string
  /** The version of that executor. = any */
  readonly version?: string | undefined
  /** Labels that it has to have. */
  readonly labels: Readonly<Record<string, string>>
  /** How long to wait for one with a free slot, in milliseconds. */
  readonly maxWaitMs: number
  /** Lives that are not asked again. */
  readonly excluded: ReadonlySet<string>
  /** Whether it had one and gave it up, to wait for its children (M6). = false */
  readonly returns?: boolean
}

/** Why there is none: nobody is there, nobody fits, or those who fit have no free slot. */
export type Lack = 'nobody' | 'unfit' | 'full'

/** What residents are found with. */
export interface ResidentsOptions {
  /** Sees them. */
  readonly peer: Pick<Peer, 'watch'>
  /** The presence role that they have. */
  readonly role: string
  /** What kind of place it is. */
  readonly kind: PlaceKind
  /** For people: the pool, or the machine; those that say where they run are shown as there. */
  readonly host: string
  /** Says that there is none: why, and that in words. */
  readonly lacking: (lack: Lack, words: string) => GreenroomError
  /** Measures the waiting. */
  readonly clock: Clock
  /** Draws. */
  readonly random: Random
}

/** The right to use one; see `Lease` of the pool. */
export interface ResidentLease {
  /** Who has it. */
  readonly worker: ResidentWorker
  /** It has accepted the run. */
  accepted(): void
  /** Its run is over; before it was accepted that means a refusal when `refused`. Only the first call counts. */
  release(refused: boolean): void
}

interface Member {
  readonly address: string
  readonly incarnation: string
  presence: Presence
  isAttached: boolean
  /** M2 */
  pending: number
  /** M3, by the monotonic clock. */
  restsUntil: number
  /** M4, by the monotonic clock. */
  showsUntil: number
  chosen: number
  /** How many slots it has, as far as it ever showed a free one; Infinity else. */
  slots: number
  readonly leases: Set<ResidentWorker>
}

/** Until it is known who is there, in milliseconds: nobody says that somebody is not. */
const lookMs = 1_000
/** M4, in milliseconds: more than a trip through the broker. */
const showMs = 1_000
/** M3, in milliseconds. */
const restMs = 100
/** M6, in milliseconds: for whom room is made, and who comes back to a place that others took meanwhile. */
const makeMs = 10_000
const returnMs = 600_000

/** See M1 to M5. */
export class Residents {
  readonly #options: ResidentsOptions
  readonly #members = new Map<string, Member>()
  readonly #unwatch: () => void
  readonly #since: number
  #chosen = 0
  #closed = false
  readonly #change: Change

  /** @param options - see {@link ResidentsOptions} */
  constructor(options: ResidentsOptions) {
    this.#options = options
    this.#change = new Change(options.clock)
    this.#since = options.clock.monotonic()
    this.#unwatch = options.peer.watch(options.role, (change) => this.#seen(change))
  }

  /**
   * Gets one, or waits for it.
   *
   * @param need - which
   * @param signal - ends the waiting
   * @param onFull - called whenever each of those that fit is full; says what may become of that
   * @throws GreenroomError what `lacking` says; `POOL_HELD_BY_ANCESTOR`, what `onFull` throws; `ABORTED`, `CLOSED`
   */
  async acquire(
    need: ResidentNeed,
    signal: AbortSignal,
    onFull: (full: Full) => Outlook = () => 'later',
  ): Promise<ResidentLease> {
    const { clock, random } = this.#options
    const since = clock.monotonic()
    /** M6 */
    let makesUntil = since
    for (;;) {
      if (signal.aborted) throw new GreenroomError('ABORTED')
      if (this.#closed) throw new GreenroomError('CLOSED', 'the runner was closed')
      const now = clock.monotonic()
      const fitting = this.#fitting(need)
      const free = fitting.filter((member) => freeOf(member) > 0)
      const chosen = choose(
        free.filter(({ restsUntil }) => restsUntil <= now).map((member) => ({ member, ...standingOf(member) })),
        random,
      )
      if (chosen !== undefined) return this.#lease(chosen.member)
      const untilKnown = this.#members.size === 0 ? this.#since + lookMs : now
      const untilShown = Math.max(untilKnown, ...fitting.map(({ showsUntil }) => showsUntil))
      const full = free.length === 0 && fitting.length > 0 && untilShown <= now ? this.#fullOf(fitting) : undefined
      const outlook = full && onFull(full)
      if ((outlook === 'soon' || outlook === 'asked') && makesUntil === since) makesUntil = now + makeMs
      const patientUntil = need.returns === true && full !== undefined ? since + returnMs : makesUntil
      const until = Math.max(since + need.maxWaitMs, outlook === 'own' ? 0 : patientUntil)
      const leftMs = Math.max(until, untilShown) - now
      if (leftMs <= 0) throw full && outlook === 'own' ? heldByAncestors(full) : this.#lacking(need, fitting.length > 0)
      const rests = free.map(({ restsUntil }) => restsUntil - now)
      // What was not shown by then is taken: others may make room.
      const shows = untilShown > now ? [untilShown - now] : []
      await this.#change.wait(signal, Math.min(leftMs, ...rests, ...shows))
    }
  }

  /** Who is there may be able to make room now: whoever waits looks again. */
  noteRoom(): void {
    this.#change.tell()
  }

  /** Chooses nobody any more; who waits is refused. */
  close(): void {
    this.#closed = true
    this.#unwatch()
    this.#change.tell()
  }

  #fitting({ executor, version, labels, excluded }: ResidentNeed): Member[] {
    return [...this.#members.values()].filter(({ incarnation, isAttached, presence }) => {
      const served = presence.serves?.find(({ name }) => name === executor)
      if (!isAttached || served === undefined || excluded.has(incarnation)) return false
      if (version !== undefined && served.version !== version) return false
      return Object.entries(labels).every(([name, value]) => presence.labels?.[name] === value)
    })
  }

  #fullOf(members: readonly Member[]): Full {
    const { kind } = this.#options
    const leases: ReadonlySet<unknown> = new Set(members.flatMap((member) => [...member.leases]))
    return { kind, has: (worker) => leases.has(worker), slots: members.reduce((sum, { slots }) => sum + slots, 0) }
  }

  #lacking({ executor, version, labels, excluded }: ResidentNeed, isFull: boolean): GreenroomError {
    const { lacking } = this.#options
    const wanted = [
      `serves "${executor}"${version === undefined ? '' : ` in version ${version}`}`,
      ...Object.entries(labels).map(([name, value]) => `has ${name}=${value}`),
    ].join(' and ')
    if (isFull) return lacking('full', `whoever ${wanted} is busy`)
    const there = [...this.#members.values()].filter(({ isAttached }) => isAttached)
    if (there.length === 0) return lacking('nobody', 'no worker is there')
    const silent = there.filter(({ incarnation }) => excluded.has(incarnation)).length
    const but = silent === 0 ? '' : `, but for ${silent} that did not answer`
    return lacking('unfit', `of ${there.length} that are there none ${wanted}${but}`)
  }

  #lease(member: Member): ResidentLease {
    const { kind, host } = this.#options
    const { address, incarnation, presence } = member
    const worker = new ResidentWorker({ kind, host: presence.host ?? host, address, incarnation, presence })
    member.leases.add(worker)
    member.pending += 1
    this.#chosen += 1
    member.chosen = this.#chosen
    let isPending = true
    const settle = (): void => {
      if (!isPending) return
      isPending = false
      member.pending -= 1
      this.#change.tell()
    }
    const release = (refused: boolean): void => {
      if (!member.leases.delete(worker)) return
      const now = this.#options.clock.monotonic()
      if (!isPending && freeOf(member) <= 0 && member.leases.size < member.slots) member.showsUntil = now + showMs
      if (isPending && refused) member.restsUntil = now + restMs
      settle()
    }
    return { worker, accepted: settle, release }
  }

  #seen({ address, incarnation, state, presence, seenDead }: PresenceChange): void {
    const known = this.#members.get(incarnation)
    const isAttached = state === 'attached'
    if (state === 'gone') {
      this.#members.delete(incarnation)
      for (const worker of known?.leases ?? []) worker.lost(seenDead)
    } else if (known === undefined) {
      const fresh = { pending: 0, restsUntil: 0, showsUntil: 0, chosen: 0, leases: new Set<ResidentWorker>() }
      const slots = slotsOf(presence) ?? Infinity
      this.#members.set(incarnation, { address, incarnation, presence, isAttached, slots, ...fresh })
    } else {
      Object.assign(known, { presence, isAttached, restsUntil: 0, slots: slotsOf(presence) ?? known.slots })
      if ((presence.slots ?? 1) > 0) known.showsUntil = 0
    }
    this.#change.tell()
  }
}

function freeOf({ presence, pending }: Member): number {
  return (presence.slots ?? 1) - pending
}

/** How many it has; undefined when it shows none that is free: then it does not show how many are not. */
function slotsOf({ slots = 1, load = 0 }: Presence): number | undefined {
  return slots > 0 && load < 1 ? Math.round(slots / (1 - load)) : undefined
}

function standingOf({ presence, pending, chosen }: Member): { readonly load: number; readonly chosen: number } {
  const { slots = 1, load = 0 } = presence
  return { load: load + pending / (slotsOf(presence) ?? slots), chosen }
}
