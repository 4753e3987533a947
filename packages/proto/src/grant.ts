/**
 * Grants: what whoever shows a token may do at a broker (PROTOCOL.md §2).
 *
 * - *T1* What is not granted is refused. A grant only ever adds: no field of it takes anything away.
 * - *T2* A *pattern* is a name, or the beginning of names and a `*`; a `*` alone is any name.
 */
import { kinds } from './message.ts'
import { residentRole } from './presence.ts'

/** Which messages may be sent, durable or live. */
export interface SendGrant {
  /** Patterns of the mailboxes that they may go to. */
  readonly to: readonly string[]
  /** Patterns of their kinds. = any */
  readonly kinds?: readonly string[]
}

/** What a token allows; an absent field allows nothing. All lists are of patterns (T2). */
export interface Grants {
  /** Mailboxes to attach to, and so to consume and to send as. */
  readonly consume?: readonly string[]
  /** Messages to send. */
  readonly send?: readonly SendGrant[]
  /** Roles to be present as. */
  readonly present?: readonly string[]
  /** Roles to watch. */
  readonly watch?: readonly string[]
  /** Mailboxes to revoke messages from. */
  readonly revoke?: readonly string[]
  /** Mailboxes to fence incarnations of. */
  readonly fence?: readonly string[]
  /** Mailboxes to delete. */
  readonly delete?: readonly string[]
  /** Roles of the runs whose approvals may be answered. The broker does not look at it: it is for whoever asks people. */
  readonly approvals?: readonly string[]
  /** Tokens that are asked for (`issue`) may outlast this one, up to so many milliseconds from then on. = 0 */
  readonly issueMs?: number
  /** May do what operators do: `admin`, and `delete` of any mailbox. = false */
  readonly operator?: boolean
}

/** What a signed token says. */
export interface TokenClaims {
  /** Whose it is: for people, and in logs. */
  readonly sub: string
  /** When it was made, in seconds since the Unix epoch. */
  readonly iat: number
  /** When it ends, in seconds since the Unix epoch. */
  readonly exp: number
  /** What it allows. */
  readonly grants: Grants
}

/** A token that was asked for. */
export interface IssuedToken {
  /** The token. */
  readonly token: string
  /** When it ends, in milliseconds since the Unix epoch. */
  readonly expiresAt: number
}

/** What is asked for, when a token is asked for. */
export interface TokenRequest {
  /** Whose it will be: an id, for people and logs. */
  readonly subject: string
  /** What it will allow: no more than the token of whoever asks. */
  readonly grants: Grants
  /** How long it should last, in milliseconds; the answer says how long it does. = 600,000 */
  readonly forMs?: number
}

const any: readonly string[] = ['*']

/** What the plain token of a broker allows: everything but what operators do. */
export const clientGrants: Grants = {
  consume: any,
  send: [{ to: any }],
  present: any,
  watch: any,
  revoke: any,
  fence: any,
  approvals: any,
  issueMs: Number.MAX_SAFE_INTEGER,
}

function kindsFrom(side: 'runner' | 'worker'): readonly string[] {
  return Object.entries(kinds).flatMap(([kind, { from }]) => (from === side ? [kind] : []))
}

/**
 * What a worker needs: its own mailbox, what workers say to their runner, and to be seen. All three may be patterns.
 *
 * @param worker - `address`: its mailbox; `runner`: its runner's; `role`: what it is present as
 */
export function workerGrants({
  address,
  runner,
  role,
}: {
  readonly address: string
  readonly runner: string
  readonly role: string
}): Grants {
  return { consume: [address], send: [{ to: [runner], kinds: kindsFrom('worker') }], present: [role] }
}

/** What mailboxes, and presence roles, are for: the first part of their names. */
export type NameKind = 'runner' | 'worker' | 'worker-of' | 'resident' | 'supervisor'

/**
 * How the names begin that are somebody's own: no other subject's names do, as long as subjects have no dots.
 *
 * @param kind - what they are for
 * @param subject - of the signed token; undefined: a plain one, which has no names of its own
 *
 * @example
 * ```ts
 * import { ownNames } from '@greenroom/proto'
 *
 * console.log(ownNames('runner', 'ci'), ownNames('runner', undefined)) // runner.ci. runner.
 * ```
 */
export function ownNames(kind: NameKind, subject: string | undefined): string {
  return subject === undefined ? `${kind}.` : `${kind}.${subject}.`
}

/**
 * The presence role of a pool's members: pools have names of their own, so that who may see them sees nobody else.
 *
 * @param pool - its name
 */
export function poolRole(pool: string): string {
  return `pool.${pool}`
}

/**
 * What a resident worker and its supervisor need, in whichever pool: mailboxes of their own, to be present, what workers say
 * to any runner, to see whether that is still there, and to renew a worker's token, and to declare it gone when its process has
 * ended.
 *
 * @param subject - of the token, without dots
 */
export function residentGrants(subject: string): Grants {
  const [resident, supervisor] = [`${ownNames('resident', subject)}*`, `${ownNames('supervisor', subject)}*`]
  const worker = workerGrants({ address: resident, runner: 'runner.*', role: poolRole('*') })
  return {
    ...worker,
    consume: [resident, supervisor],
    send: [...(worker.send ?? []), { to: [resident], kinds: ['token'] }],
    watch: ['runner.*'],
    fence: [resident],
  }
}

/**
 * What a runner needs, whatever its id: runners' mailboxes, what runners say to workers, to see who is there and to end
 * them, and all that its workers need, so that it can have tokens issued for them. All of it under its subject's own names,
 * but for resident workers, which it shares with others: of those it can only take back what it sent.
 *
 * @param subject - of the token, without dots
 * @param issueMs - how long its workers' tokens may last, in milliseconds
 */
export function runnerGrants(subject: string, issueMs: number): Grants {
  const own = (kind: NameKind): string => `${ownNames(kind, subject)}*`
  const worker = workerGrants({ address: own('worker'), runner: own('runner'), role: own('worker-of') })
  const residents = 'resident.*'
  const kinds = kindsFrom('runner')
  return {
    consume: [own('runner'), ...(worker.consume ?? [])],
    send: [
      { to: [own('worker')], kinds },
      // Whoever may renew somebody's token can end their connection.
      { to: [residents], kinds: kinds.filter((kind) => kind !== 'token') },
      // What it tells itself, to learn that all before it has come.
      { to: [own('runner')], kinds: ['marker'] },
      ...(worker.send ?? []),
    ],
    present: [own('runner'), ...(worker.present ?? [])],
    watch: [own('worker-of'), poolRole('*'), residentRole],
    // By ids that hold a run's, which nobody guesses.
    revoke: [own('worker'), residents],
    fence: [own('worker')],
    issueMs,
  }
}

/**
 * Whether one of some patterns fits a name.
 *
 * @param patterns - see T2; none when undefined
 * @param name - the name
 */
export function isGranted(patterns: readonly string[] | undefined, name: string): boolean {
  return patterns?.some((pattern) => fits(pattern, name)) === true
}

/**
 * Whether a message may be sent.
 *
 * @param grants - of whoever sends it
 * @param to - the mailbox it goes to
 * @param kind - its kind
 */
export function maySend({ send = [] }: Grants, to: string, kind: string): boolean {
  return send.some(({ to: mailboxes, kinds: allowed = any }) => isGranted(mailboxes, to) && isGranted(allowed, kind))
}

/**
 * Grants that are asked for, if they are no more than others. Fields that are not known here are left out.
 *
 * @param asked - what is asked for
 * @param own - those of whoever asks
 * @returns undefined when they are more, also when only several of the other patterns together would allow one of them
 */
export function narrowed(asked: Grants, own: Grants): Grants | undefined {
  const lists = ['consume', 'present', 'watch', 'revoke', 'fence', 'delete', 'approvals'] as const
  const areWithin = lists.every((field) => (asked[field] ?? []).every((pattern) => isGranted(own[field], pattern)))
  const { send = [], issueMs = 0, operator = false } = asked
  const mayBeSent = send.every(({ to, kinds: allowed = any }) =>
    to.every((mailbox) => allowed.every((kind) => maySend(own, mailbox, kind))),
  )
  if (!areWithin || !mayBeSent || issueMs > (own.issueMs ?? 0) || (operator && own.operator !== true)) return undefined
  const known = lists.flatMap((field) => (asked[field] === undefined ? [] : [[field, asked[field]] as const]))
  return {
    ...Object.fromEntries(known),
    ...(send.length > 0 && {
      send: send.map(({ to, kinds: allowed }) => ({ to, ...(allowed && { kinds: allowed }) })),
    }),
    ...(issueMs > 0 && { issueMs }),
    ...(operator && { operator }),
  }
}

/** A pattern fits a name, and a pattern that allows no more than it does: `a.*` fits `a.b.*`, and `a` only `a`. */
function fits(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}
