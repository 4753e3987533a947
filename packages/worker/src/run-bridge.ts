/**
 * The bridge of one run: each call is a request to its runner, beside which the MCP servers are.
 *
 * A call that is over for its caller, and did not come to the runner until then, is not made: it would be done once more.
 */
import {
  GreenroomError,
  jsonFlaw,
  limits,
  namesFlaw,
  Semaphore,
  type Bridge,
  type BridgeCall,
  type BridgeCallOptions,
  type BridgedTool,
  type BridgedToolRef,
  type BridgeResult,
  type Clock,
  type JsonObject,
  type Random,
  type Run,
  type ToolResult,
} from '@greenroom/proto'
import { untilEnd } from './pause.ts'
import { RunnerRequests, type RunnerRequestsOptions } from './runner-requests.ts'

/** How long the runner may take to tell the tools, in milliseconds: it gives its servers a third of that. */
const listMs = 30_000

/** The most that {@link BridgeCallOptions.timeoutMs} may be. */
const longestMs = 3_600_000

/** What the bridge of a run needs of it. */
export interface RunBridgeOptions extends RunnerRequestsOptions<BridgeCall> {
  readonly run: Pick<Run, 'bridge' | 'detached'>
  readonly random: Random
  readonly clock: Clock
  /** Called when a call is over. */
  readonly onSettled: () => void
}

/** See above. */
export class RunBridge implements Bridge {
  readonly #options: RunBridgeOptions
  readonly #requests: RunnerRequests<BridgeCall, BridgeResult>
  /** Its runner takes no more at once: the others wait here. */
  readonly #places = new Semaphore(limits.bridgeCalls)
  #calls = 0

  /** @param options - see {@link RunBridgeOptions} */
  constructor(options: RunBridgeOptions) {
    this.#options = options
    this.#requests = new RunnerRequests<BridgeCall, BridgeResult>(options)
  }

  /** Whether a call is under way: what it does may be done once more, if its attempt ended now. */
  get isCalling(): boolean {
    return this.#calls > 0
  }

  /** An answer came. */
  answered(result: BridgeResult): void {
    this.#requests.answered(result)
  }

  async list(): Promise<readonly BridgedTool[]> {
    if (this.#servers.length === 0) return []
    const { clock, random } = this.#options
    const late = new AbortController()
    const timer = clock.timer(listMs, () => late.abort())
    try {
      const { tools = [] } = await untilEnd(late.signal, this.#requests.request(random.id(), { op: 'list', args: {} }))
      return tools
    } catch (error) {
      throw late.signal.aborted ? new GreenroomError('TIMEOUT', `no tools within ${listMs} ms`) : error
    } finally {
      timer.cancel()
    }
  }

  async call(tool: BridgedToolRef, input: JsonObject = {}, options: BridgeCallOptions = {}): Promise<ToolResult> {
    const { server, name } = checkCall(tool, input, options)
    if (!this.#servers.includes(server))
      throw new GreenroomError('UNKNOWN_TOOL', `the run's role may call no tool of a server "${server}"`)
    const { random, clock } = this.#options
    const { timeoutMs = 60_000, signal } = options
    const requestId = random.id()
    const late = new AbortController()
    const timer = clock.timer(timeoutMs, () => late.abort())
    const givenUp = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal])
    const ended = AbortSignal.any([givenUp, this.#options.signal])
    const giveUp = (): void =>
      void this.#requests.request(random.id(), { op: 'cancel', args: { requestId } }).catch(() => undefined)
    this.#calls += 1
    try {
      const args = { tool: { server, name }, input, timeoutMs }
      // Its time is over then, also when nobody can be told.
      const lasting = { signal: givenUp, ttlMs: Math.ceil(timeoutMs) }
      const ask = (): Promise<BridgeResult> => {
        givenUp.addEventListener('abort', giveUp, { once: true })
        return untilEnd(givenUp, this.#requests.request(requestId, { op: 'call', args }, lasting))
      }
      const { result } = await untilEnd(givenUp, this.#places.take(ended, ask))
      if (result === undefined) throw new GreenroomError('INTERNAL', 'the runner gave no result')
      return result
    } catch (error) {
      if (error !== givenUp.reason) throw error
      if (!late.signal.aborted) throw new GreenroomError('ABORTED')
      throw new GreenroomError('TIMEOUT', `${server}.${name} gave no result within ${timeoutMs} ms`)
    } finally {
      timer.cancel()
      givenUp.removeEventListener('abort', giveUp)
      this.#calls -= 1
      this.#options.onSettled()
    }
  }

  /** @throws GreenroomError `MISSING_FEATURE` in a run that may outlive its runner */
  get #servers(): readonly string[] {
    const { detached = false, bridge = [] } = this.#options.run
    if (detached) throw new GreenroomError('MISSING_FEATURE', 'a detached run has no bridge: it may outlive its runner')
    return bridge
  }
}

/** @throws GreenroomError `BAD_OPTIONS`, `INPUT_INVALID`, `ABORTED` */
function checkCall(tool: BridgedToolRef, input: JsonObject, options: BridgeCallOptions): BridgedToolRef {
  const odd = namesFlaw('options', options, ['timeoutMs', 'signal'])
  if (odd !== undefined) throw bad(odd)
  const { timeoutMs = 1, signal } = options
  if (typeof tool?.server !== 'string' || typeof tool.name !== 'string')
    throw bad('its tool must be one that list gave, or { server, name }')
  if (!(Number.isFinite(timeoutMs) && timeoutMs > 0 && timeoutMs <= longestMs))
    throw bad(`timeoutMs must be a number of milliseconds, more than 0 and at most ${longestMs}`)
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') throw bad('signal must be an AbortSignal')
  const isObject = typeof input === 'object' && input !== null && !Array.isArray(input)
  const flaw = isObject ? jsonFlaw(input, 'input') : 'input must be an object'
  if (flaw !== undefined) throw new GreenroomError('INPUT_INVALID', flaw)
  if (signal?.aborted === true) throw new GreenroomError('ABORTED')
  return tool
}

const bad = (message: string): GreenroomError => new GreenroomError('BAD_OPTIONS', `bridge.call: ${message}`)
