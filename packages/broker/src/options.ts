/** What a broker is told: its options, with every default, and their check. */
import {
  GreenroomError,
  limits as wireLimits,
  systemClock,
  systemRandom,
  type Clock,
  type Random,
} from '@greenroom/proto'
import type { Store } from '@greenroom/store'
import { checkTokenKey } from './signed-token.ts'

/** A certificate with its key, as PEM. */
export interface Certificate {
  /** The certificate, and those between it and its root. */
  readonly cert: string
  /** Its private key. */
  readonly key: string
}

/** Where a broker listens: a private Unix socket, or a TCP port. */
export type Listen =
  | {
      /** Path of the socket; its folder is made with mode 0700, the socket has mode 0600. */
      readonly socket: string
    }
  | {
      /** 0 picks a free port. */
      readonly port: number
      /** Off loopback only with `tls` or `insecure`. = 127.0.0.1 */
      readonly host?: string
      /** Certificate and key as PEM: serves `wss`. */
      readonly tls?: Certificate
      /** Listen off loopback without TLS all the same. = false */
      readonly insecure?: boolean
    }

/** Bounds of a broker; whoever passes one is slowed down, refused or cut, never somebody else. */
export interface BrokerLimits {
  /** Open connections; more are refused with `TOO_MANY_CONNECTIONS`. = 10,000 */
  readonly connections: number
  /** Bytes of one frame. = 16 MiB */
  readonly frameBytes: number
  /** A client says hello within this time. = 10,000 */
  readonly helloMs: number
  /** Pings go out this often; two silent ones cut the connection. = 10,000 */
  readonly pingMs: number
  /** Messages that may wait in one mailbox (`MAILBOX_FULL`). = 100,000 */
  readonly mailboxMessages: number
  /** Bytes that may wait in one mailbox (`MAILBOX_FULL`). = 256 MiB */
  readonly mailboxBytes: number
  /** Messages that may wait in all mailboxes (`MAILBOX_FULL`). = 1,000,000 */
  readonly totalMessages: number
  /** Bytes that may wait in all mailboxes (`MAILBOX_FULL`). = 1 GiB */
  readonly totalBytes: number
  /** Bytes of waiting payloads that are kept in memory too; beyond it they are read back. = 64 MiB */
  readonly cacheBytes: number
  /** Outgoing bytes on a connection beyond which live messages to it are dropped. = 4 MiB */
  readonly liveBytes: number
  /** Outgoing bytes on a connection beyond which it is cut as `SLOW_CONSUMER`, when it stays there for `pingMs`. = 16 MiB */
  readonly outgoingBytes: number
  /** Bytes of a connection's unanswered sends beyond which it is not read. = 16 MiB */
  readonly incomingBytes: number
  /** Frames a second that a connection is read at; a burst of as many is free. = 200,000 */
  readonly framesPerSecond: number
  /** Mailboxes that somebody has or something is in; more are refused with `MAILBOX_FULL`. = 100,000 */
  readonly mailboxes: number
}

/** How to report what a person may want to know: a word and its facts. Nothing secret, no payloads. */
export type BrokerLogger = (
  level: 'info' | 'warn' | 'error',
  event: string,
  facts: Readonly<Record<string, string | number>>,
) => void

/** Options of {@link createBroker}; all may be left out. */
export interface BrokerOptions {
  /** Data folder; one live broker per folder (`DATA_DIR_IN_USE`). null: memory only. = null */
  readonly dir?: string | null
  /** An open store with {@link brokerSchema} in place of `dir`. It stays open when the broker closes. */
  readonly store?: Store
  /** Where to listen. = nowhere: in-process only */
  readonly listen?: Listen
  /**
   * What clients must show at the upgrade; at least 16 characters. It allows everything but what operators do: who has it
   * can read every mailbox and speak as anybody. With `listen`, this or `tokenKeys` is needed.
   */
  readonly token?: string
  /**
   * What an operator shows instead, who may also look into mailboxes, delete them, and work on dead letters; at least 16
   * characters, and another one. = nobody may, except by {@link Broker.operator}
   */
  readonly operatorToken?: string
  /**
   * Keys of signed tokens (see {@link signToken}), each of at least 32 bytes: the first one signs, all of them verify.
   * = one of its own, in its data folder
   */
  readonly tokenKeys?: readonly string[]
  /** Origins that browsers may connect from. = none */
  readonly origins?: readonly string[]
  /** Some of the {@link BrokerLimits}. */
  readonly limits?: Partial<BrokerLimits>
  /** How long a lost incarnation may come back before it is gone. = 30,000 */
  readonly partitionGraceMs?: number
  /** How long ids, claims and revocations are remembered. = 86,400,000 */
  readonly dedupeWindowMs?: number
  /** A message of a named mailbox that came back this often becomes a dead letter. = 16 */
  readonly maxAttempts?: number
  /**
   * A mailbox that nobody had or sent to for this long is deleted: its unclaimed runs are withdrawn, the senders of all
   * else are told. At least `dedupeWindowMs`. = 604,800,000 (7 days)
   */
  readonly mailboxTtlMs?: number
  /** Commit in a thread, so that the loop is never blocked by the disk. = true */
  readonly thread?: boolean
  /** `normal` loses receipted messages at a power cut. For tests. = 'full' */
  readonly synchronous?: 'full' | 'normal'
  /** The listener does not keep the program alive: for an embedded broker. = false */
  readonly background?: boolean
  /** = the system's */
  readonly clock?: Clock
  /** = the system's */
  readonly random?: Random
  /** = nobody */
  readonly logger?: BrokerLogger
}

const defaults: BrokerLimits = {
  connections: 10_000,
  frameBytes: wireLimits.frameBytes,
  helloMs: wireLimits.helloMs,
  pingMs: wireLimits.pingMs,
  mailboxMessages: 100_000,
  mailboxBytes: 256 * 1024 * 1024,
  totalMessages: 1_000_000,
  totalBytes: 1024 * 1024 * 1024,
  cacheBytes: 64 * 1024 * 1024,
  liveBytes: 4 * 1024 * 1024,
  outgoingBytes: 16 * 1024 * 1024,
  incomingBytes: 16 * 1024 * 1024,
  framesPerSecond: 200_000,
  mailboxes: 100_000,
}

/** Options with every default filled in. */
export interface ResolvedOptions {
  readonly dir: string | null
  readonly store: Store | undefined
  readonly listen: Listen | undefined
  readonly token: string | undefined
  readonly operatorToken: string | undefined
  readonly tokenKeys: readonly string[] | undefined
  readonly origins: ReadonlySet<string>
  readonly limits: BrokerLimits
  readonly partitionGraceMs: number
  readonly dedupeWindowMs: number
  readonly maxAttempts: number
  readonly mailboxTtlMs: number
  readonly thread: boolean
  readonly synchronous: 'FULL' | 'NORMAL'
  readonly background: boolean
  readonly clock: Clock
  readonly random: Random
  readonly logger: BrokerLogger
}

const shortestToken = 16
const weekMs = 7 * 24 * 60 * 60 * 1_000
const loopback: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost'])

function bad(message: string): GreenroomError {
  return new GreenroomError('BAD_OPTIONS', message)
}

function checkToken(name: 'token' | 'operatorToken', token: string): void {
  if (token.length < shortestToken)
    throw bad(`options.${name} must have at least ${shortestToken} characters when the broker listens`)
  if (!/^[\x21-\x7e]+$/.test(token))
    throw bad(`options.${name} must be printable ASCII without spaces: it travels in a header`)
}

function checkListen(listen: Listen, { token, operatorToken, tokenKeys }: BrokerOptions): void {
  if (token !== undefined || tokenKeys === undefined) checkToken('token', token ?? '')
  if (operatorToken !== undefined) checkToken('operatorToken', operatorToken)
  if (operatorToken !== undefined && operatorToken === token)
    throw bad('options.operatorToken must be another one than options.token')
  if ('socket' in listen) {
    if (!listen.socket.startsWith('/')) throw bad('options.listen.socket must be an absolute path')
    return
  }
  const { port, host = '127.0.0.1', tls, insecure = false } = listen
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw bad(`options.listen.port must be 0 to 65,535, not ${port}`)
  if (!loopback.has(host) && tls === undefined && !insecure)
    throw bad(`options.listen.host ${host} is not loopback: give options.listen.tls, or say insecure: true`)
}

/**
 * Refuses what are no keys.
 *
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkTokenKeys(keys: readonly string[]): void {
  if (keys.length === 0) throw bad('options.tokenKeys must hold at least one key')
  for (const [index, key] of keys.entries()) checkTokenKey(`options.tokenKeys[${index}]`, key)
}

function checkNumbers(numbers: Readonly<Record<string, number | undefined>>): void {
  for (const [name, value] of Object.entries(numbers))
    if (value !== undefined && !(value > 0)) throw bad(`options.${name} must be a number above 0, not ${value}`)
}

/**
 * Checks options and fills in the defaults.
 *
 * @throws GreenroomError `BAD_OPTIONS`, naming the field
 */
export function resolveOptions(options: BrokerOptions): ResolvedOptions {
  const { dir = null, store, listen, token, operatorToken, tokenKeys, limits = {} } = options
  const { partitionGraceMs, maxAttempts, dedupeWindowMs = wireLimits.dedupeWindowMs } = options
  const { mailboxTtlMs = Math.max(weekMs, dedupeWindowMs) } = options
  if (dir !== null && store !== undefined) throw bad('options.dir and options.store exclude each other')
  if (listen !== undefined) checkListen(listen, options)
  if (tokenKeys !== undefined) checkTokenKeys(tokenKeys)
  checkNumbers({ partitionGraceMs, dedupeWindowMs, maxAttempts, mailboxTtlMs })
  if (mailboxTtlMs < dedupeWindowMs)
    throw bad(`options.mailboxTtlMs must not be less than options.dedupeWindowMs, which is ${dedupeWindowMs}`)
  checkNumbers(Object.fromEntries(Object.entries(limits).map(([name, value]) => [`limits.${name}`, value])))
  return {
    dir,
    store,
    listen,
    token,
    operatorToken,
    tokenKeys,
    origins: new Set(options.origins),
    limits: { ...defaults, ...limits },
    partitionGraceMs: partitionGraceMs ?? wireLimits.partitionGraceMs,
    dedupeWindowMs,
    maxAttempts: maxAttempts ?? 16,
    mailboxTtlMs,
    thread: options.thread ?? true,
    synchronous: options.synchronous === 'normal' ? 'NORMAL' : 'FULL',
    background: options.background ?? false,
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    logger: options.logger ?? (() => {}),
  }
}
