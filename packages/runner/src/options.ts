/** What a runner may be told. Types only; `config` checks them. */
import type { TokenSource } from '@greenroom/bus'
import type { Bus, Clock, McpServer, Posture, Random } from '@greenroom/proto'
import type { Schema, Store } from '@greenroom/store'
import type { ApprovalOptions } from './approval/index.ts'
import type { BridgeAllowance, ToolServer } from './bridge/index.ts'
import type { BudgetOptions } from './budget.ts'
import type { CommandEntry, WorkerEntry } from './entry.ts'
import type { Launcher, Logger } from './launcher.ts'
import type { LimitOptions } from './limits.ts'
import type { RetryOptions } from './retry.ts'
import type { SessionStore } from './session-store.ts'

/** The names of the executors that a worker entry serves. */
export type ExecutorNames<Executors> = keyof Executors & string

/**
 * A pool: resident workers (`greenroom worker --bus … --role NAME`) on the runner's bus, or in a folder of this machine. One
 * with a free slot gets the run; nothing is ever started here instead.
 */
export interface PoolPlacement {
  /** Its name: the role that they were started with. */
  readonly pool: string
  /**
   * The folder in which its workers are found (`greenroom worker --fabric DIR --role NAME`), made when missing: no broker is
   * needed, but the runner is the same user on the same machine. Nobody else may be able to reach it. = they are on the runner's bus
   */
  readonly fabric?: string
  /** Labels that the worker has to have, each with this value. = none */
  readonly labels?: Readonly<Record<string, string>>
  /** The version of the executor that the worker has to serve. = any */
  readonly version?: string
  /**
   * How long a run waits, with its permit, when there is none (else `POOL_EMPTY`) or all are busy (else `POOL_FULL`), in
   * milliseconds; each of its attempts anew. Longer, however little this is, for whom a waiting parent there makes room (ten
   * seconds), and for a suspended parent that comes back and finds all busy (ten minutes). Where its own ancestors hold all
   * that fit it fails as `POOL_HELD_BY_ANCESTOR`. = 0
   */
  readonly maxWaitMs?: number
}

/**
 * A remote: a resident worker that hosts an endpoint of its own (`greenroom worker --listen …`). It is waited for as long as
 * `limits.acceptWarmMs` says, also while it is busy; nothing is ever started here instead, and nobody else is asked.
 */
export interface RemotePlacement {
  /** Its endpoint: `wss://HOST:PORT`; `ws://` and `ws+unix://` on this machine. */
  readonly remote: string
  /** The bearer token, or what gives the present one. */
  readonly token: TokenSource
  /** PEM of the certificate authority to trust instead of the public ones. */
  readonly ca?: string
  /** Use `ws://` although it is another machine: token and all else travel in the clear. = false */
  readonly insecure?: boolean
}

/** A role: which executor does its work, and with what. */
export interface RoleOptions<Executor extends string = string> {
  /** Its name among the worker's executors. */
  readonly executor: Executor
  /**
   * Where its runs are executed. On a worker that was not started here secrets and environment are the worker's own, and
   * `workspace` is a path on its machine. = 'local'
   */
  readonly placement?: 'local' | PoolPlacement | RemotePlacement
  /** The folder the work is about. = the runner's working directory */
  readonly workspace?: string
  /** The model that its executor is to use; a run may name another. = the executor's own */
  readonly model?: string
  /** Tools that the executor must not offer. */
  readonly disabledTools?: readonly string[]
  /**
   * MCP servers whose tools its executor may offer. Workers of other servers, or with other `env` or `headers`, are never
   * exchanged for its own. What is in these is sent with each run, and so is on the bus's disk: for what must not be there the
   * executor has `ctx.secret`.
   */
  readonly mcpServers?: readonly McpServer[]
  /**
   * Which tools of the runner's `bridge` its executors may call over `ctx.bridge`, by server: names, or `'all'`. It is looked at
   * when they are called, and is no part of what makes workers alike. = none
   */
  readonly bridge?: BridgeAllowance
  /** What its runs may do without asking; `unattended` = whether the runner has no `approvals.person`. */
  readonly posture?: Posture
  /** Names of secrets that its executor declares; each must be among the runner's `secrets`. */
  readonly secrets?: readonly string[]
  /** Names of environment variables that its workers get beside the runner's `env`. */
  readonly env?: readonly string[]
  /** Bounds on each of its runs. = the runner's, each for itself */
  readonly limits?: LimitOptions
  /** Whether its runs may have their effects twice: then `retry` holds for what was already begun, too. = as its executor says */
  readonly idempotent?: boolean
  /**
   * How often its runs are tried again when that may help: after a failure that says `retry: 'later'` (an executor's own by
   * `ctx.fail(code, message, { retry: 'later' })`) and after a timeout other than `total`. = one attempt
   */
  readonly retry?: RetryOptions
  /** Bounds how many runs with the same key execute at a time. = no bound */
  readonly concurrency?: {
    /** What they share; roles with the same key have the same limit. = the role's name */
    readonly key?: string
    /** How many, at least 1. */
    readonly limit: number
  }
  /** Who waits with a larger number is let in first. = 0 */
  readonly priority?: number
  /** Whether its runs go on when their runner ends: see `RunSpec.detached`. = false */
  readonly detached?: boolean
}

/** How much a runner does at a time. */
export interface AdmissionOptions {
  /** How many runs execute at a time, at least 1. = 8 */
  readonly maxExecuting?: number
  /** How many worker processes there are, those that are idle or ending included; at least 1. = 32 */
  readonly maxProcesses?: number
  /** How many more may wait; one more ends as `QUEUE_FULL`. = 128 */
  readonly queue?: number
  /** How deep children may be nested: a run without a parent has depth 0. 0: no children. = 4 */
  readonly maxDepth?: number
}

/** How many workers stay warm between runs, and how long. */
export interface WarmPoolOptions<Role extends string = string> {
  /** Idle workers in all; 0: a fresh one for each run. = 16 */
  readonly maxIdle?: number
  /** Idle workers that are alike. = 4 */
  readonly maxIdlePerKey?: number
  /** How long one stays idle, in milliseconds. = 300,000 */
  readonly idleMs?: number
  /** How long one lives, in milliseconds; one in use ends after its run. = 3,600,000 */
  readonly maxAgeMs?: number
  /** How many runs one does. = 100 */
  readonly maxUses?: number
  /** Roles, and how many workers are kept ready for each before anybody asks. = none */
  readonly prewarm?: { readonly [Name in Role]?: number }
}

/** Roles by name. */
export type Roles<Executors> = Readonly<Record<string, RoleOptions<ExecutorNames<Executors>>>>

/** Refuses what is no option of a role, which a type parameter would let through. */
export type OnlyRoleOptions<R> = {
  readonly [Role in keyof R]: {
    readonly [Option in Exclude<keyof R[Role], keyof RoleOptions>]: NoRoleOption<Option>
  }
}

/** What is asked for where a role has an option that there is not: its name is the compiler's message. */
export interface NoRoleOption<Option> {
  /** The name that no option of a role has. */
  readonly 'no option of a role': Option
}

/** A secret's value, or where to get it when a worker is started. */
export type SecretSource = string | (() => Promise<string>)

/** Where a broker listens, or a bus of one's own, which needs a {@link Launcher} of one's own too. */
export type BusChoice =
  | Bus
  | {
      /** `ws://`, `wss://`, or `ws+unix://` and the path of a socket. Handed to workers as it is. */
      readonly url: string
      /**
       * The runner's token, or what gives the present one. Its workers get tokens of their own, for which it asks the broker:
       * one of `greenroom token --role runner`, or a broker's plain one, may ask for them.
       */
      readonly token: TokenSource
      /** PEM of the certificate authority to trust instead of the public ones. */
      readonly ca?: string
      /** Use `ws://` although the broker is on another machine: tokens and all else travel in the clear. = false */
      readonly insecure?: boolean
    }

/** How workers come into being: an entry file, a program, or a launcher of one's own. */
export type WorkerSource<Executors> = WorkerEntry<Executors> | URL | CommandEntry | Launcher

/** What {@link createRunner} may be told. */
export interface RunnerOptions<
  Executors = Readonly<Record<string, unknown>>,
  R extends Roles<Executors> = Roles<Executors>,
> {
  /** How worker processes are started; not needed when no role is local. */
  readonly worker?: WorkerSource<Executors>
  /** What there is to run, by name: letters, digits, `.`, `_` and `-`. */
  readonly roles: R & OnlyRoleOptions<R>
  /** = an embedded broker on a private socket */
  readonly bus?: BusChoice
  /**
   * The folder of the runner's database, made when missing; only one live runner may have it. null: all in memory, gone
   * with the process. = `.greenroom` in the working directory
   */
  readonly dataDir?: string | null
  /**
   * Opens the database in place of `dataDir`: for tests of what a disk can do. What it takes and gives is internal to
   * Greenroom, without a semver promise.
   */
  readonly openStore?: (schema: Schema) => Store | Promise<Store>
  /**
   * How long a run stays in the journal after its end, in milliseconds: so long it can be attached to and its idempotency
   * key is known. null: for ever. Transcripts stay, but for that of a session which is named as its run, and
   * which nobody else uses, in the database in `dataDir`. = null
   */
  readonly retentionMs?: number | null
  /** Where transcripts are kept. = the database in `dataDir` */
  readonly sessions?: SessionStore
  /** Values of secrets by name; a role's workers get those that the role names. */
  readonly secrets?: Readonly<Record<string, SecretSource>>
  /**
   * Servers of tools that stay beside this runner, by name: for what is bound to its machine (a screen, a login of its user), or is
   * not to be where workers are. What a role may call of them its `bridge` says. = none
   */
  readonly bridge?: Readonly<Record<string, ToolServer>>
  /** Names of environment variables that workers get. = PATH, HOME, LANG, TZ, TMPDIR */
  readonly env?: readonly string[]
  /** Who decides on what runs ask for. = nobody: all of it is denied */
  readonly approvals?: ApprovalOptions
  /** How many runs execute and wait. */
  readonly admission?: AdmissionOptions
  /** How many workers stay warm between runs. */
  readonly pool?: WarmPoolOptions<NoInfer<keyof R & string>>
  /** Bounds on every run; roles, sessions and runs may say otherwise, each for itself. = see {@link LimitOptions} */
  readonly limits?: LimitOptions
  /**
   * What each tree of runs may use: a run without a parent and all of its descendants together. When it is used up every run
   * of the tree that draws on it ends as `LIMIT_BUDGET`. A run may say otherwise, each amount for itself. = nothing is bounded
   */
  readonly budget?: BudgetOptions
  /** How long an executor may take to end after a cancel, in milliseconds. = 5,000 */
  readonly cancelGraceMs?: number
  /** How long a connection may be lost before its owner counts as gone, in milliseconds. = 30,000 */
  readonly partitionGraceMs?: number
  /**
   * Starts workers, when `worker` is an entry file, with a debugger that waits on a free port of this machine; its URL is
   * among what they write. Nobody is given up then while he stands at a breakpoint: every bound on time is off, also for a
   * lost connection. = false
   */
  readonly inspect?: boolean
  /** Whether to keep what workers write to themselves instead of forwarding it to standard error. = false */
  readonly quiet?: boolean
  /** = one that writes to standard error */
  readonly logger?: Logger
  /** = the system's */
  readonly clock?: Clock
  /** = the system's */
  readonly random?: Random
}
