/**
 * Who speaks, and what they may say: every frame is looked up here before anything else is (PROTOCOL.md §2, T3).
 */
import { clientGrants, isGranted, maySend, type ClientHeader, type Grants, type Presence } from '@greenroom/proto'

/** What a token gives. */
export interface Authority {
  /** Whose token it is: for people, and in logs. */
  readonly subject: string
  readonly grants: Grants
  /** Of a signed token. */
  readonly signed?: {
    /** The key that signed it. */
    readonly kid: string
    /** When it ends, in milliseconds since the epoch. */
    readonly expiresAt: number
    /** When it ends for a connection that stands, on the monotonic clock: a clock that is set cuts nobody. */
    readonly until: number
  }
}

/** Who shows the clients' plain token. */
export const client: Authority = { subject: 'client', grants: clientGrants }
/** Who shows the operators'. */
export const operator: Authority = { subject: 'operator', grants: { ...clientGrants, operator: true } }

/**
 * Whether a frame is granted.
 *
 * @param grants - of whoever says it
 * @param header - what is said
 */
export function isAllowed(grants: Grants, header: ClientHeader): boolean {
  switch (header.t) {
    case 'attach':
      return isGranted(grants.consume, header.address) && mayBePresent(grants, header.presence)
    case 'announce':
      return mayBePresent(grants, header.presence)
    case 'send':
    case 'live':
      return maySend(grants, header.to, header.kind)
    case 'watch':
      return isGranted(grants.watch, header.role)
    case 'revoke':
      return isGranted(grants.revoke, header.to)
    case 'fence':
      return isGranted(grants.fence, header.address)
    case 'delete':
      return grants.operator === true || isGranted(grants.delete, header.address)
    case 'admin':
      return grants.operator === true
    // What concerns nothing but the connection and its own mailbox; `issue` and `renew` look at grants themselves.
    case 'hello':
    case 'ack':
    case 'claim':
    case 'nack':
    case 'touch':
    case 'leave':
    case 'unwatch':
    case 'issue':
    case 'renew':
    case 'ping':
      return true
  }
}

function mayBePresent({ present }: Grants, presence: Presence | undefined): boolean {
  return presence === undefined || isGranted(present, presence.role)
}
