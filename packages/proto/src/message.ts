/**
 * The run protocol: what a runner and a worker say to each other inside payloads.
 *
 * The kind of a message stands in the frame's header only; the payload is its JSON. Every message but `token` names its run
 * and epoch; whoever receives one of an older epoch drops it.
 */
import type { BridgeRequest, BridgeResult } from './bridge.ts'
import type { Budget } from './budget.ts'
import type { AskMode, ChildSpec, ChildStatus, WaitMode } from './children.ts'
import type { ErrorCode, Retry } from './error.ts'
import type { Message, WireEvent } from './event.ts'
import type { JsonValue } from './json.ts'
import type { EventRange, Outcome, Usage } from './outcome.ts'

/** Which attempt of which run a message is about. */
export interface RunRef {
  /** The run. */
  readonly runId: string
  /** 1 for the first attempt; grows with every further one. */
  readonly epoch: number
}

/** Bounds on a run; an absent one is none, 0 is zero. */
export interface Limits {
  /** From the send receipt to `accepted`, on a warm worker, in milliseconds. */
  readonly acceptWarmMs?: number
  /** The same on a fresh worker. */
  readonly acceptColdMs?: number
  /** From `accepted` to the first event, in milliseconds. */
  readonly firstEventMs?: number
  /** Between two events that are progress, in milliseconds. */
  readonly noProgressMs?: number
  /** Executing time in all, in milliseconds. */
  readonly totalMs?: number
  /** One tool call, in milliseconds. */
  readonly toolMs?: number
  /** Model or tool rounds. */
  readonly rounds?: number
  /** Tokens, in and out. */
  readonly tokens?: number
  /** Money, in US dollars. */
  readonly costUsd?: number
  /** All that it emits, in bytes. */
  readonly outputBytes?: number
  /** The worker's resident memory, in MiB. */
  readonly memoryMb?: number
}

/** What a run may do without asking. Handed to the executor and part of what workers are told apart by. */
export interface Posture {
  /** No policy and no person is asked: the reviewer decides, or, without one, what is asked is allowed. */
  readonly bypass?: boolean
  /** The executor is to check permissions itself before it asks; the runner does nothing about it. */
  readonly enforce?: boolean
  /** No person is there: what would be asked is denied at once. */
  readonly unattended?: boolean
  /** Only calls that the read-only checker passes. */
  readonly readOnly?: boolean
  /** May have children of its own. */
  readonly nesting?: boolean
}

/** An MCP server that an executor may use. */
export interface McpServer {
  /** Its name for the executor. */
  readonly name: string
  /** The program to start, for one that speaks over stdio. */
  readonly command?: string
  /** The program's arguments. */
  readonly args?: readonly string[]
  /** Where it listens, for one that speaks over HTTP. */
  readonly url?: string
  /** Added to the program's environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Sent with each request, to one that speaks over HTTP. */
  readonly headers?: Readonly<Record<string, string>>
}

/** What a suspended parent gets back of a child. */
export interface ChildOutcome {
  /** The child's run. */
  readonly runId: string
  /** The key under which it was spawned. */
  readonly key: string
  /** How it ended. */
  readonly outcome: Outcome
}

// ─── runner → worker ─────────────────────────────────────────────────────────────────────────────────────────────

/** A numbered part of a history that is too long for the {@link Run} message; sent before it. */
export interface History extends RunRef {
  /** Which part this is: 1, 2, … */
  readonly part: number
  /** How many there are. */
  readonly parts: number
  /** The messages of this part, oldest first. */
  readonly messages: readonly Message[]
}

/** The assignment. Its consumer claims it before anything executes. */
export interface Run extends RunRef {
  /** Capabilities the worker must know, by name: else it answers `SPEC_TOO_NEW`. */
  readonly required?: readonly string[]
  /** The runner's mailbox: where answers go. */
  readonly replyTo: string
  /** The runner's name for this kind of work. */
  readonly role: string
  /** The executor to run. */
  readonly executor: string
  /** The run ids from the root to this one. */
  readonly path: readonly string[]
  /** How many ancestors it has; 0 for a root. */
  readonly depth: number
  /** What to do, in words. */
  readonly task: string
  /** What to do, typed. */
  readonly input?: JsonValue
  /** The session so far, oldest first, unless `historyParts` says that it came in parts. */
  readonly messages?: readonly Message[]
  /** How many {@link History} messages were sent before. */
  readonly historyParts?: number
  /** The folder to work in: an absolute path. */
  readonly workspace: string
  /** The model to use. */
  readonly model?: string
  /** Tools that the executor must not offer. */
  readonly disabledTools?: readonly string[]
  /** MCP servers that the executor may use. */
  readonly mcpServers?: readonly McpServer[]
  /** Servers of the runner some of whose tools it may call over the bridge. */
  readonly bridge?: readonly string[]
  /** What it may do without asking. */
  readonly posture?: Posture
  /** Its bounds. */
  readonly limits?: Limits
  /** How long the executor may take after its signal aborted, in milliseconds. = 5,000 */
  readonly cancelGraceMs?: number
  /** The run goes on without its runner. */
  readonly detached?: boolean
  /** The outcomes of its children, for a run that was suspended. */
  readonly resumed?: readonly ChildOutcome[]
  /** What is left of the budgets that it draws on: each `usage` entry is answered by a {@link SpendReceipt}. = none, and no answer */
  readonly budget?: Budget
}

/** When a steering text is to be taken up: at the next safe point, or when the run would end. */
export type SteerMode = 'now' | 'queue'

/** Text for a run in progress. */
export interface Steer extends RunRef {
  /** Named by the {@link SteerReceipt}. */
  readonly steerId: string
  /** What to say to it. */
  readonly text: string
  /** When it is to be taken up. */
  readonly mode: SteerMode
}

/** A question to a run in progress. */
export interface Ask extends RunRef {
  /** Named by the {@link AskReply}. */
  readonly askId: string
  /** The question, in words. */
  readonly question: string
  /** `query` leaves no trace in the transcript. */
  readonly mode: AskMode
}

/** Takes a question back: nobody waits for its answer any more. */
export interface Unask extends RunRef {
  /** The {@link Ask} that is taken back. */
  readonly askId: string
}

/** How long an approval's answer holds: once, for the run, or for the session. */
export type ApprovalScope = 'once' | 'run' | 'session'

/** Who decided. */
export type Decider = 'policy' | 'reviewer' | 'ancestor' | 'person' | 'deadline' | 'system'

/** The one decision on an approval request. */
export interface ApprovalDecision extends RunRef {
  /** The {@link ApprovalRequest} that it decides. */
  readonly requestId: string
  /** Whether the call may go ahead. */
  readonly allowed: boolean
  /** Why, for people; for a denial the true reason: timed out is not rejected. */
  readonly reason: string
  /** Who decided. */
  readonly decider: Decider
  /** The input to execute, when the decider edited it. */
  readonly input?: JsonValue
  /** SHA-256 of the canonical input that may be executed, in hex: it is computed again before that. */
  readonly digest: string
  /** How long it holds. */
  readonly scope: ApprovalScope
}

/** An approval request of a descendant, put to an ancestor run. */
export interface ApprovalAsk extends RunRef {
  /** Named by the {@link ApprovalAnswer}. */
  readonly requestId: string
  /** The descendant that asks. */
  readonly from: RunRef
  /** The descendant's run ids from the root to itself. */
  readonly path: readonly string[]
  /** The tool that is to be called. */
  readonly tool: string
  /** The kind of permission it needs, such as `execute`. */
  readonly permission: string
  /** What it acts upon, such as a path. */
  readonly resource: string
  /** The exact input. */
  readonly input?: JsonValue
  /** Absolute, in milliseconds since the epoch; none when absent. */
  readonly deadline?: number
}

/** The answer to a {@link ChildrenRequest}. */
export interface ChildrenResult extends RunRef {
  /** The {@link ChildrenRequest} that it answers. */
  readonly requestId: string
  /** `spawn`: the child's run. */
  readonly childId?: string
  /** `send`: what became of the text. */
  readonly status?: SteerReceipt['status']
  /** `wait`: those that ended. */
  readonly children?: readonly ChildOutcome[]
  /** `ask`: what the child said. */
  readonly answer?: string
  /** `list`: all of them. */
  readonly listed?: readonly ChildStatus[]
  /** Why it was refused. */
  readonly error?: Failure
}

/** What was used is counted, and within the budgets. When it is not, there is none: the run is cancelled. */
export interface SpendReceipt extends RunRef {
  /** The last `usage` entry that is counted. */
  readonly upTo: number
  /** What is left of the budgets now. */
  readonly left: Budget
}

/** Ends the attempt; the run goes on later, in another. */
export interface Suspend extends RunRef {
  /** Why, for people. */
  readonly reason: string
}

/** Ends the run. */
export interface Cancel extends RunRef {
  /** Why: the reason of the executor's aborted signal. */
  readonly reason: string
}

/** A newer token for the worker's connection. Of no run: it also comes to one that waits for its next. */
export interface Token {
  /** The token to renew with. */
  readonly token: string
  /** When it ends, in milliseconds since the epoch. */
  readonly expiresAt: number
}

/** All events up to and including this one are safe (or were read, or skipped). */
export interface EventAck extends RunRef {
  /** The sequence number of the last safe event; 0: none. */
  readonly upTo: number
}

/** Send again everything after this event. */
export interface Resume extends RunRef {
  /** The sequence number of the last event that the runner has; 0: none. */
  readonly ack: number
}

/** All events of the attempt and its terminal are stored: the worker may forget it. */
export interface TerminalAck extends RunRef {
  /** The terminal's. */
  readonly lastSeq: number
}

// ─── worker → runner ─────────────────────────────────────────────────────────────────────────────────────────────

/** Not claimed and not started; the placement picks another worker. */
export interface Refused extends RunRef {
  /** Why: no free slot, or leaving. */
  readonly code: 'BUSY' | 'DRAINING'
}

/** Claimed, and about to execute. */
export interface Accepted extends RunRef {
  /** The process that executes it, for people. */
  readonly pid?: number
}

/** A batch of events; the first has the sequence number `first`, each next one more. */
export interface Events extends RunRef {
  /** The sequence number of the first event. */
  readonly first: number
  /** 1 to 256 events, in order. */
  readonly events: readonly WireEvent[]
}

/** Where the text of a {@link Steer} is; sent once. */
export interface SteerReceipt extends RunRef {
  /** The {@link Steer} that it is about. */
  readonly steerId: string
  /** With the executor, which waited for it; with the worker, until the executor asks; or too late: nobody will. */
  readonly status: 'delivered' | 'queued' | 'not-live'
}

/** The answer to an {@link Ask}. */
export interface AskReply extends RunRef {
  /** The {@link Ask} that it answers. */
  readonly askId: string
  /** The answer, in words. */
  readonly answer?: string
  /** Why there is none. */
  readonly error?: Failure
}

/** A gated tool call's question. */
export interface ApprovalRequest extends RunRef {
  /** Unguessable; named by the {@link ApprovalDecision}. */
  readonly requestId: string
  /** The question comes after this event. */
  readonly afterSeq: number
  /** The tool that is to be called. */
  readonly tool: string
  /** The kind of permission it needs, such as `execute`. */
  readonly permission: string
  /** What it acts upon, such as a path. */
  readonly resource: string
  /** The exact input. */
  readonly input?: JsonValue
  /** SHA-256 of the canonical input, in hex. */
  readonly digest: string
  /** In milliseconds since the epoch. */
  readonly createdAt: number
  /** Absolute, in milliseconds since the epoch; null: none; the runner decides when absent. */
  readonly deadline?: number | null
}

/** An ancestor's answer to an {@link ApprovalAsk}; `pass` hands it on to the next. */
export interface ApprovalAnswer extends RunRef {
  /** The {@link ApprovalAsk} that it answers. */
  readonly requestId: string
  /** What the ancestor says. */
  readonly answer: 'allow' | 'deny' | 'pass'
  /** Why, for people. */
  readonly reason?: string
  /** The input to execute, when the ancestor edited it. */
  readonly input?: JsonValue
  /** How long it holds. = `once` */
  readonly scope?: ApprovalScope
}

/** `spawn`: what to start. Its key is the worker's, where its executor names none. */
export interface SpawnArgs extends ChildSpec {
  /** Names the child for its parent. */
  readonly key: string
}

/** `wait`: for which children, and until when. */
export interface WaitArgs {
  /** The children's runs. */
  readonly runIds: readonly string[]
  /** Until when. */
  readonly mode: WaitMode
}

/** `ask`: whom, and what. */
export interface AskArgs {
  /** The child's run. */
  readonly runId: string
  /** The question, in words. */
  readonly question: string
  /** See {@link AskMode}. */
  readonly mode: AskMode
  /** How long the answer may take, in milliseconds. */
  readonly timeoutMs: number
}

/** `unwait`: which `wait` or `ask` is given up; that is answered with `ABORTED`. */
export interface UnwaitArgs {
  /** Its {@link ChildrenRequest}. */
  readonly requestId: string
}

/** `send`: what to say to whom. */
export interface SendArgs {
  /** The child's run. */
  readonly runId: string
  /** The text. */
  readonly text: string
  /** When it is to be taken up. */
  readonly mode: SteerMode
}

/** `cancel`: whom, and why. */
export interface CancelArgs {
  /** The child's run. */
  readonly runId: string
  /** Why, for people. */
  readonly reason?: string
}

/** `decide`: whether the executor decides on what its descendants ask. */
export interface DecideArgs {
  /** Whether it does from now on. */
  readonly on: boolean
}

/** A method of {@link Children}, and what it is called with. */
export type ChildrenCall =
  | {
      /** Starts a child. */
      readonly op: 'spawn'
      /** Which. */
      readonly args: SpawnArgs
    }
  | {
      /** Waits for children. */
      readonly op: 'wait'
      /** For which. */
      readonly args: WaitArgs
    }
  | {
      /** Gives a `wait` or `ask` up. */
      readonly op: 'unwait'
      /** Which. */
      readonly args: UnwaitArgs
    }
  | {
      /** Steers a child. */
      readonly op: 'send'
      /** With what. */
      readonly args: SendArgs
    }
  | {
      /** Asks a child. */
      readonly op: 'ask'
      /** What. */
      readonly args: AskArgs
    }
  | {
      /** Says whether the executor decides on what its descendants ask. */
      readonly op: 'decide'
      /** Whether. */
      readonly args: DecideArgs
    }
  | {
      /** Cancels a child. */
      readonly op: 'cancel'
      /** Which. */
      readonly args: CancelArgs
    }
  | {
      /** Lists the children. */
      readonly op: 'list'
      /** Nothing. */
      readonly args: Readonly<Record<string, unknown>>
    }

/** What `ctx.children` asks of the runner. */
export type ChildrenRequest = RunRef & {
  /** The same again is the same request. */
  readonly requestId: string
} & ChildrenCall

/** Alive, and this far; also shows the runner a gap. */
export interface Heartbeat extends RunRef {
  /** The last event that was sent; 0 when there was none. */
  readonly lastSentSeq: number
  /** The last event that was progress, not a sign of life. */
  readonly progressSeq: number
  /** How late the worker's main loop is, in milliseconds. */
  readonly loopLagMs: number
  /** The worker's resident memory, in MiB. */
  readonly rssMb?: number
  /** How many events wait for room in the window; absent when the worker does not say. */
  readonly waiting?: number
}

/** A failure on the wire. */
export interface Failure {
  /** One of the error table, or the executor's own. */
  readonly code: ErrorCode | (string & {})
  /** What happened, for people. */
  readonly message: string
  /** Whether trying again may help. = `never` */
  readonly retry?: Retry
}

/** The attempt ended. */
export interface Terminal extends RunRef {
  /** How it ended; `suspended` ends the attempt, not the run. */
  readonly status: 'completed' | 'cancelled' | 'failed' | 'timeout' | 'suspended'
  /** The last event's sequence number; 0 when there was none. */
  readonly lastSeq: number
  /** `completed`: the executor's typed result. */
  readonly output?: JsonValue
  /** `completed`: its final words. */
  readonly text?: string
  /** What the attempt used. */
  readonly usage?: Usage
  /** `cancelled` and `suspended`: why. */
  readonly reason?: string
  /** `suspended`: the children that it waits for. = none: it goes on at once */
  readonly waitsFor?: WaitArgs
  /** `failed`: what happened. */
  readonly error?: Failure
  /** `timeout`: the watchdog that ended it. */
  readonly which?: 'tool' | 'total' | 'first-event' | 'no-progress'
  /** Events that the worker itself had to give up. */
  readonly lost?: EventRange
  /** SHA-256 over the JSON of output and text, in hex. */
  readonly digest?: string
}

/** Every message of the run protocol by its kind. */
export interface RunMessages {
  /** A part of a long history. */
  readonly history: History
  /** The assignment. */
  readonly run: Run
  /** Text for a run in progress. */
  readonly steer: Steer
  /** A question to a run. */
  readonly ask: Ask
  /** Takes it back. */
  readonly unask: Unask
  /** The decision on a request. */
  readonly 'approval-decision': ApprovalDecision
  /** A descendant's request, put to an ancestor. */
  readonly 'approval-ask': ApprovalAsk
  /** The answer to a request about children. */
  readonly 'children-result': ChildrenResult
  /** The answer to a request over the bridge. */
  readonly 'bridge-result': BridgeResult
  /** What was used is counted. */
  readonly 'spend-receipt': SpendReceipt
  /** Ends the attempt. */
  readonly suspend: Suspend
  /** Ends the run. */
  readonly cancel: Cancel
  /** A newer token. */
  readonly token: Token
  /** Events are safe up to here. */
  readonly ack: EventAck
  /** Send again from here. */
  readonly resume: Resume
  /** Everything is stored. */
  readonly 'terminal-ack': TerminalAck
  /** Not taken. */
  readonly refused: Refused
  /** Taken. */
  readonly accepted: Accepted
  /** What the run tells. */
  readonly events: Events
  /** Where the text of a steer is. */
  readonly 'steer-receipt': SteerReceipt
  /** The answer to a question. */
  readonly 'ask-reply': AskReply
  /** May this call go ahead? */
  readonly 'approval-request': ApprovalRequest
  /** An ancestor's answer. */
  readonly 'approval-answer': ApprovalAnswer
  /** About children. */
  readonly 'children-request': ChildrenRequest
  /** About tools of the runner's MCP servers. */
  readonly 'bridge-request': BridgeRequest
  /** Alive, and this far. */
  readonly heartbeat: Heartbeat
  /** The attempt ended. */
  readonly terminal: Terminal
}

/** A kind of run-protocol message: what stands in the frame's header. */
export type RunKind = keyof RunMessages

/** How a kind travels. */
export interface KindRow {
  /** Who sends it. */
  readonly from: 'runner' | 'worker'
  /** `durable`: stored by the broker until it is acked. `live`: not stored; the link repairs what is lost. */
  readonly lane: 'durable' | 'live'
  /** Whether it counts against the control credit, so that work never keeps it waiting. */
  readonly control: boolean
}

/** Every kind and how it travels. */
export const kinds = {
  history: { from: 'runner', lane: 'durable', control: false },
  run: { from: 'runner', lane: 'durable', control: false },
  steer: { from: 'runner', lane: 'durable', control: true },
  ask: { from: 'runner', lane: 'durable', control: true },
  unask: { from: 'runner', lane: 'durable', control: true },
  'approval-decision': { from: 'runner', lane: 'durable', control: true },
  'approval-ask': { from: 'runner', lane: 'durable', control: true },
  'children-result': { from: 'runner', lane: 'durable', control: true },
  'bridge-result': { from: 'runner', lane: 'durable', control: false },
  'spend-receipt': { from: 'runner', lane: 'durable', control: true },
  suspend: { from: 'runner', lane: 'durable', control: true },
  cancel: { from: 'runner', lane: 'durable', control: true },
  token: { from: 'runner', lane: 'live', control: true },
  ack: { from: 'runner', lane: 'live', control: true },
  resume: { from: 'runner', lane: 'live', control: true },
  'terminal-ack': { from: 'runner', lane: 'live', control: true },
  refused: { from: 'worker', lane: 'durable', control: true },
  accepted: { from: 'worker', lane: 'live', control: true },
  events: { from: 'worker', lane: 'live', control: false },
  'steer-receipt': { from: 'worker', lane: 'durable', control: true },
  'ask-reply': { from: 'worker', lane: 'durable', control: true },
  'approval-request': { from: 'worker', lane: 'durable', control: true },
  'approval-answer': { from: 'worker', lane: 'durable', control: true },
  'children-request': { from: 'worker', lane: 'durable', control: true },
  'bridge-request': { from: 'worker', lane: 'durable', control: true },
  heartbeat: { from: 'worker', lane: 'live', control: true },
  terminal: { from: 'worker', lane: 'durable', control: true },
} as const satisfies Record<RunKind, KindRow>
