/**
 * Events: what a run tells while it works.
 *
 * Two classes. *Entries* are stored by the runner before they are acknowledged: exactly once, in order, whatever
 * crashes. *Deltas* are for whoever reads along: exactly once and in order while somebody does, dropped (with a
 * {@link Skipped} marker) while nobody does; they never touch a disk.
 *
 * The rule that tells them apart also holds for types this version does not know: a type that is `progress` or ends in
 * `-delta` is a delta, any other is an entry.
 */
import type { JsonValue } from './json.ts'
import type { Usage } from './outcome.ts'

/** A part of a message; `text` parts are understood everywhere, others survive untouched. */
export interface ContentPart {
  /** What it is: `text`, or anything else. */
  readonly type: string
  /** The text of a `text` part. */
  readonly text?: string
  /** Whatever else a part of this type has. */
  readonly [key: string]: JsonValue | undefined
}

/** One message of a session's transcript. */
export interface Message {
  /** Its id within the session: what deltas name to say where they belong. */
  readonly id?: string
  /** Who speaks. */
  readonly role: 'system' | 'user' | 'assistant' | 'tool'
  /** Its text, or its parts in order. */
  readonly content: string | readonly ContentPart[]
}

/** Entry: a finished message; the transcript is the fold of these. */
export interface MessageEvent {
  readonly type: 'message'
  /** The finished message. */
  readonly message: Message
}

/** Entry: the executor starts a tool. */
export interface ToolCallEvent {
  readonly type: 'tool-call'
  /** The call's id within the run. */
  readonly id: string
  /** The tool's name. */
  readonly tool: string
  /** What it is called with. */
  readonly input?: JsonValue
}

/** Entry: the tool ended. */
export interface ToolResultEvent {
  readonly type: 'tool-result'
  /** The id of the {@link ToolCallEvent}. */
  readonly id: string
  /** What it gave back. */
  readonly output?: JsonValue
  /** Whether the output is an error; false when absent. */
  readonly isError?: boolean
}

/** Entry: anything of the executor's own, under a name. */
export interface DataEvent {
  readonly type: 'data'
  /** The executor's name for it. */
  readonly name: string
  /** Any JSON value. */
  readonly data: JsonValue
}

/** Entry: what the run is doing now, for people. */
export interface StatusEvent {
  readonly type: 'status'
  /** A few words: `planning`, `running the tests`. */
  readonly status: string
  /** More, for those who look closer. */
  readonly detail?: string
}

/** Entry: what was used since the last one. */
export interface UsageEvent {
  readonly type: 'usage'
  /** To be added to what was told before. */
  readonly usage: Usage
}

/** Delta: more text of the message being written. */
export interface TextDelta {
  readonly type: 'text-delta'
  /** The text to append. */
  readonly text: string
  /** The {@link Message.id} it will fold into. */
  readonly message?: string
}

/** Delta: more of the model's reasoning. */
export interface ReasoningDelta {
  readonly type: 'reasoning-delta'
  /** The text to append. */
  readonly text: string
  /** The {@link Message.id} it belongs to. */
  readonly message?: string
}

/** Delta: more output of a running tool or program. */
export interface ToolOutputDelta {
  readonly type: 'tool-output-delta'
  /** The id of the {@link ToolCallEvent}. */
  readonly id: string
  /** The output to append. */
  readonly text: string
  /** Where a program wrote it; `stdout` when absent. */
  readonly stream?: 'stdout' | 'stderr'
}

/** Delta: how far it is. */
export interface ProgressEvent {
  readonly type: 'progress'
  /** How much is done. */
  readonly done: number
  /** How much there is to do, where that is known. */
  readonly total?: number
  /** What is being done, for people. */
  readonly text?: string
}

/** Stored, ordered, exactly once. */
export type Entry = MessageEvent | ToolCallEvent | ToolResultEvent | DataEvent | StatusEvent | UsageEvent

/** For readers; never stored. */
export type Delta = TextDelta | ReasoningDelta | ToolOutputDelta | ProgressEvent

/** What an executor may emit. */
export type RunEvent = Entry | Delta

/** An event as it came over the wire: perhaps of a type that this version does not know. */
export interface WireEvent {
  /** Names its shape, and by {@link isDelta} its class. */
  readonly type: string
  /** Whatever an event of this type has. */
  readonly [key: string]: unknown
}

/** What a reader sees in place of deltas that were dropped while nobody read. */
export interface Skipped {
  readonly type: 'skipped'
  /** Sequence number of the first dropped delta. */
  readonly first: number
  /** Sequence number of the last dropped delta. */
  readonly last: number
}

/** What reading a run yields: its events with their sequence number, or a gap. */
export type ReadEvent = (RunEvent & NumberedEvent) | (Skipped & EpochEvent)

/** Which attempt an event belongs to. */
export interface EpochEvent {
  /** The attempt's number: 1 for the first. */
  readonly epoch: number
}

/** Which event of which attempt it is. */
export interface NumberedEvent extends EpochEvent {
  /** The event's sequence number within its attempt: 1, 2, … */
  readonly seq: number
}

/**
 * Whether an event of this type is stored ({@link Entry}) or only for readers ({@link Delta}); holds for unknown types
 * too.
 *
 * @param type - the event's type
 */
export function isDelta(type: string): boolean {
  return type === 'progress' || type.endsWith('-delta')
}

/**
 * The text of a message: its content, or its text parts joined.
 *
 * @param message - a message
 */
export function textOf(message: Message): string {
  if (typeof message.content === 'string') return message.content
  return message.content.map((part) => part.text ?? '').join('')
}
