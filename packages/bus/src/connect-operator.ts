/**
 * An operator at a broker: one connection without a mailbox, for what a person asks once.
 *
 * It does not come back when it is lost: every call that waits then, and every later one, fails with `CONNECT_FAILED`.
 * Asking again is safe.
 */
import {
  checkNames,
  encodeFrame,
  GreenroomError,
  limits,
  parseDeadLetter,
  parseMailboxState,
  systemClock,
} from '@greenroom/proto'
import type {
  Admin,
  BackupReceipt,
  BrokerHeader,
  DeadLetter,
  LetterAddress,
  MailboxState,
  Ok,
  Operator,
  ShownLetter,
} from '@greenroom/proto'
import { Connection, toError, type ConnectionOutcome } from './connection.ts'
import type { ConnectOptions } from './connect.ts'
import { safeEndpoint } from './endpoint.ts'
import { openWebSocket } from './platform/socket.ts'
import { endOfTick } from './platform/tick.ts'

/** How to reach a broker as an operator: as a client, but with the operators' token. */
export type ConnectOperatorOptions = Pick<
  ConnectOptions,
  'url' | 'token' | 'ca' | 'insecure' | 'agent' | 'helloMs' | 'clock' | 'socket' | 'defer'
>

/** An operator over a connection. */
export interface ConnectedOperator extends Operator, AsyncDisposable {
  /** Ends the connection. Idempotent. Also the async disposer. */
  close(): Promise<void>
}

/**
 * Connects as an operator, once: it does not wait for a broker that is not there.
 *
 * @param options - where the broker is, and the operators' token (`operatorToken` of the broker)
 * @throws GreenroomError `BAD_OPTIONS` when the url is none, `INSECURE_URL` when it is `ws://` to another machine, `CONNECT_FAILED`,
 * `UNAUTHORIZED`, `TOKEN_EXPIRED`, `CERTIFICATE_UNTRUSTED`, `CERTIFICATE_EXPIRED`, `UNSUPPORTED_VERSION`
 *
 * @example
 * ```ts
 * import { connectOperator } from '@greenroom/bus'
 *
 * await using operator = await connectOperator({ url: 'ws://127.0.0.1:7440', token: 'the-operators-token' })
 * for (const { address, id } of await operator.deadLetters()) await operator.requeue({ address, id })
 * ```
 */
export async function connectOperator(options: ConnectOperatorOptions): Promise<ConnectedOperator> {
  safeEndpoint(options.url, options.insecure)
  const operator = new SocketOperator(options)
  await operator.ready
  return operator
}

type Question = { readonly t: 'delete'; readonly address: string } | Omit<Admin, 'req'>
type Answer = PromiseWithResolvers<{ readonly ok: Ok; readonly payload: Uint8Array }>

class SocketOperator implements ConnectedOperator {
  readonly ready: Promise<void>
  readonly #connection: Connection
  readonly #waiting = new Map<number, Answer>()
  #ended: GreenroomError | undefined
  #lastReq = 0

  constructor(options: ConnectOperatorOptions) {
    const { token } = options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.ready = promise
    this.#connection = new Connection(
      {
        url: options.url,
        token: () => (typeof token === 'string' ? token : token()),
        ca: options.ca,
        agent: options.agent,
        required: [],
        helloMs: options.helloMs ?? limits.helloMs,
        background: false,
        clock: options.clock ?? systemClock,
        socket: options.socket ?? openWebSocket,
        defer: options.defer ?? endOfTick,
      },
      {
        attach: () => undefined,
        attached: () => resolve(),
        frame: (header, payload) => this.#frame(header, payload),
        over: (outcome) => reject(this.#end(endOf(outcome))),
      },
    )
  }

  async mailboxes(): Promise<readonly MailboxState[]> {
    return this.#list({ t: 'admin', op: 'mailboxes' }, parseMailboxState)
  }

  async deleteMailbox(address: string): Promise<void> {
    checkNames(address)
    await this.#ask({ t: 'delete', address })
  }

  async deadLetters(address?: string): Promise<readonly DeadLetter[]> {
    if (address !== undefined) checkNames(address)
    const of = address === undefined ? {} : { address }
    return this.#list({ t: 'admin', op: 'dead-letters', ...of }, parseDeadLetter)
  }

  async deadLetter({ address, id }: LetterAddress): Promise<ShownLetter> {
    checkNames(address, undefined, id)
    const { ok, payload } = await this.#ask({ t: 'admin', op: 'show', address, id })
    return { letter: parseDeadLetter(ok.rows?.[0]), payload }
  }

  async requeue({ address, id }: LetterAddress): Promise<void> {
    checkNames(address, undefined, id)
    await this.#ask({ t: 'admin', op: 'requeue', address, id })
  }

  async purge({ address, id }: { readonly address: string; readonly id?: string }): Promise<number> {
    checkNames(address, undefined, id)
    const { ok } = await this.#ask({ t: 'admin', op: 'purge', address, ...(id === undefined ? {} : { id }) })
    const [row] = ok.rows ?? []
    return typeof row === 'object' && row !== null && 'purged' in row ? Number(row.purged) : 0
  }

  async backup(path: string): Promise<BackupReceipt> {
    const { ok } = await this.#ask({ t: 'admin', op: 'backup', path })
    const [row] = ok.rows ?? []
    const bytes = typeof row === 'object' && row !== null && 'bytes' in row ? Number(row.bytes) : 0
    return { path, bytes }
  }

  async close(): Promise<void> {
    this.#end(new GreenroomError('CLOSED'))
    this.#connection.close(1000)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #list<Row>(question: Omit<Admin, 'req'>, read: (row: unknown) => Row): Promise<readonly Row[]> {
    const all: Row[] = []
    for (let after: string | undefined; ;) {
      const { ok } = await this.#ask({ ...question, ...(after === undefined ? {} : { after }) })
      all.push(...(ok.rows ?? []).map(read))
      if (ok.next === undefined) return all
      after = ok.next
    }
  }

  #ask(question: Question): Answer['promise'] {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    this.#lastReq += 1
    const answer: Answer = Promise.withResolvers()
    this.#waiting.set(this.#lastReq, answer)
    this.#connection.send(encodeFrame({ ...question, req: this.#lastReq }), true)
    return answer.promise
  }

  #frame(header: BrokerHeader, payload: Uint8Array): void {
    if ((header.t !== 'ok' && header.t !== 'error') || header.req === undefined) return
    const answer = this.#waiting.get(header.req)
    this.#waiting.delete(header.req)
    // A view into what the socket reads into: the caller may keep it.
    if (header.t === 'ok') answer?.resolve({ ok: header, payload: payload.slice() })
    else answer?.reject(toError(header))
  }

  #end(error: GreenroomError): GreenroomError {
    this.#ended ??= error
    for (const answer of this.#waiting.values()) answer.reject(this.#ended)
    this.#waiting.clear()
    return this.#ended
  }
}

function endOf(outcome: ConnectionOutcome): GreenroomError {
  return outcome.kind === 'lost' ? outcome.error : new GreenroomError(outcome.end.code, outcome.end.message)
}
