/** Puts a runner's parts together. */
import { GreenroomError, type PeerState } from '@greenroom/proto'
import { Admission } from './admission.ts'
import { type Config } from './config.ts'
import { createDrive, type DriveOptions } from './drive/index.ts'
import { type Surroundings } from './execution.ts'
import { type Home } from './home.ts'
import { Journal, type AttemptRecord } from './journal.ts'
import { type Launcher } from './launcher.ts'
import { createLocalPlacement, type PlacedWorker, type WorkerNeed } from './placement/index.ts'
import { standardNeed } from './plan.ts'
import { createPool } from './pool/index.ts'
import { isSameProcess } from './platform/process-stamp.ts'
import { hostName, workerEnvironment } from './platform/surroundings.ts'
import { withDeadline } from './session-deadline.ts'
import { StoreSessions } from './store-sessions.ts'

/**
 * Puts the parts together.
 *
 * @param config - the runner's
 * @param home - where it lives
 * @throws GreenroomError `CONNECT_FAILED`, what attaching rejects with
 */
export async function assemble(config: Config, { bus, address, store }: Home): Promise<Surroundings> {
  const { clock, random, logger, dataDir } = config
  const journal = new Journal(store)
  const id = await journal.identity(random.id())
  const onError = (error: unknown): void => logger.warn('a message was dropped', { error: String(error) })
  const onState = (state: PeerState): void => {
    if (state === 'lost') logger.warn('the connection to the bus was lost; runs wait until it is back')
    if (state === 'attached') logger.warn('the connection to the bus is back')
  }
  const onStrayTerminal: DriveOptions['onStrayTerminal'] = (ref, delivery) => journal.keepTerminal(ref, delivery)
  const mailbox = { bus, address: `runner.${id}`, incarnation: random.id(), clock, onState, onError, onStrayTerminal }
  const drive = await soon(config, (signal) => createDrive({ ...mailbox, signal }))
  const placement = createLocalPlacement({
    launcher: config.launcher,
    peer: drive.peer,
    bus: address,
    presenceRole: `worker-of.${id}`,
    environment: (also) => workerEnvironment([...config.env, ...also], dataDir),
    cancelGraceMs: config.cancelGraceMs,
    partitionGraceMs: config.partitionGraceMs,
    host: hostName,
    clock,
    random,
    logger,
  })
  const pool = createPool<WorkerNeed, PlacedWorker>({
    limits: { ...config.pool, maxProcesses: config.admission.maxProcesses },
    spawn: (need) => placement.acquire(need),
    processes: () => placement.processes,
    isCurrent: ({ fixed }) => {
      try {
        const { program = '', bundle = '' } = config.launcher.identify?.() ?? {}
        return fixed['launcher'] === program && fixed['bundle'] === bundle
      } catch {
        // Nobody can tell what it would start now: the next run will say why.
        return false
      }
    },
    clock,
    random,
    warn: (message, fields) => logger.warn(message, fields),
  })
  for (const [role, count = 0] of Object.entries(config.pool.prewarm))
    pool.keepReady(role, count, () => standardNeed(config, role))
  const isGone = (record: AttemptRecord): Promise<boolean> => hasEnded(record, config)
  const parts = { config, journal, drive, placement, pool, admission: new Admission(config.admission), isGone }
  if (config.sessions !== undefined)
    return { ...parts, sessions: withDeadline(config.sessions, clock), ownSessions: undefined }
  const ownSessions = new StoreSessions(store)
  return { ...parts, sessions: ownSessions, ownSessions }
}

/** How long a worker of an earlier life may take to end: its lifeline is gone. */
const orphanMs = 5_000
const lookMs = 50

/** Waits for the process of an attempt of an earlier life; false when it does not end, or is out of sight. */
async function hasEnded(record: AttemptRecord, { launcher, clock }: Config): Promise<boolean> {
  const look = lookFor(record, launcher)
  if (look === undefined) return false
  for (let waitedMs = 0; waitedMs <= orphanMs; waitedMs += lookMs) {
    if (await look()) return true
    await new Promise<void>((resolve) => void clock.timer(lookMs, resolve))
  }
  return false
}

/** Tells whether it has ended; undefined when nobody can. */
function lookFor(
  { address, pid, host, process: stamp }: AttemptRecord,
  launcher: Launcher,
): (() => boolean | Promise<boolean>) | undefined {
  if (launcher.hasEnded !== undefined) return () => launcher.hasEnded?.(address) ?? false
  return pid === undefined || host !== hostName ? undefined : () => !isSameProcess(pid, stamp)
}

/** Attaching waits for a broker for ever; whoever creates a runner wants to know that there is none. */
async function soon<T>({ clock, partitionGraceMs }: Config, attach: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const late = new AbortController()
  const timer = clock.timer(partitionGraceMs, () => late.abort())
  try {
    return await attach(late.signal)
  } catch (cause) {
    if (!late.signal.aborted || !(cause instanceof Error)) throw cause
    throw new GreenroomError('CONNECT_FAILED', `not attached for ${partitionGraceMs} ms: ${cause.message}`, { cause })
  } finally {
    timer.cancel()
  }
}
