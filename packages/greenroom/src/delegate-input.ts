/** What a model calls the parent's tools with. Types only. */

/** What `spawn` takes. */
export interface SpawnInput {
  /** One of the listed roles. */
  readonly role: string
  /** What to do, in words. */
  readonly task?: string | undefined
  /** What to do, as the role's executor takes it. */
  readonly input?: unknown
  /** Names the child: the same key again is the same child. */
  readonly key?: string | undefined
}

/** What `send` takes. */
export interface SendInput {
  /** The child. */
  readonly runId: string
  /** What to say. */
  readonly text: string
  /** When it is taken up. = `now` */
  readonly mode?: 'now' | 'queue' | undefined
}

/** What `ask` takes. */
export interface AskInput {
  /** The child. */
  readonly runId: string
  /** The question, in words. */
  readonly question: string
  /** Beside its work, or as part of the conversation. = `query` */
  readonly mode?: 'query' | 'steer' | undefined
  /** For how long to wait for the answer, in seconds. = as long as may be */
  readonly waitSeconds?: number | undefined
}

/** What `await` takes. */
export interface AwaitInput {
  /** The children. */
  readonly runIds: string[]
  /** Until when. = `all` */
  readonly mode?: 'all' | 'any' | 'first-error' | undefined
  /** For how long, in seconds. = as long as may be */
  readonly waitSeconds?: number | undefined
}

/** What `cancel` takes. */
export interface CancelInput {
  /** The child. */
  readonly runId: string
  /** Why. */
  readonly reason?: string | undefined
}

/** What `list` takes: nothing. */
export type ListInput = Readonly<Record<string, never>>
