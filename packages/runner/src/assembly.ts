/** Puts a runner's parts together. */
import { GreenroomError, ownNames, type Bus, type Peer, type PeerState, type RunRef } from '@greenroom/proto'
import type { Store } from '@greenroom/store'
import { Admission } from './admission.ts'
import { attachWithin } from './attach-deadline.ts'
import { Arbiter } from './approval/index.ts'
import { Budgets } from './budgets.ts'
import { type Config } from './config.ts'
import { keepEvents, leftDetached } from './detached.ts'
import { createDrive, type DriveOptions } from './drive/index.ts'
import { sendWhenRoom } from './drive/room-send.ts'
import type { Surroundings } from './execution-parts.ts'
import { type Home } from './home.ts'
import { Journal, type AttemptRecord } from './journal.ts'
import { type Launcher } from './launcher.ts'
import { createLocalPlacement, type PlacedWorker, type Placement, type WorkerNeed } from './placement/index.ts'
import { Places, type PlacesParts } from './places.ts'
import { postureOf, standardNeed } from './plan.ts'
import { patient, type PatientStore } from './persistence.ts'
import { backUp } from './platform/backup.ts'
import { createPool, type Pool } from './pool/index.ts'
import { outputOf, pruneOutputs } from './platform/detached-output.ts'
import { isSameProcess } from './platform/process-stamp.ts'
import { hostName, workerEnvironment } from './platform/surroundings.ts'
import { withDeadline } from './session-deadline.ts'
import { StoreSessions } from './store-sessions.ts'

/** What to look at when it is not reached. */
const homeHint = 'does a broker run there (greenroom broker), and is bus.url right?'

/**
 * Puts the parts together.
 *
 * @param config - the runner's
 * @param home - where it lives
 * @throws GreenroomError `CONNECT_FAILED`, `MISSING_FEATURE`, what the store throws and attaching rejects with
 */
export async function assemble(config: Config, { bus, subject, address, issue, store }: Home): Promise<Surroundings> {
  const { clock, random, logger, dataDir } = config
  if (dataDir !== null) pruneOutputs(dataDir, clock.now())
  const database = patient(store, clock)
  const journal = new Journal(database)
  const id = await beginLife(journal, store, config)
  const onError = (error: unknown): void => logger.warn('a message was dropped', { error: String(error) })
  const onState = (state: PeerState): void => {
    if (state === 'lost') logger.warn('the connection to the bus was lost; runs wait until it is back')
    if (state === 'attached') logger.warn('the connection to the bus is back')
  }
  const onStrayTerminal: DriveOptions['onStrayTerminal'] = (ref, delivery) =>
    journal.awaiting(ref, delivery) && journal.workers.keepTerminal(ref, delivery)
  const { sessions, ownSessions } = sessionsOf(config, database)
  const onStrayEvents: DriveOptions['onStrayEvents'] = (events, delivery) =>
    keepEvents({ journal, sessions, ownSessions, clock }, events, delivery)
  const onApproval: DriveOptions['onApproval'] = (request, delivery, via) => {
    const { from: address, fromIncarnation: incarnation = '' } = delivery
    const run = journal.awaiting(request, delivery)
    // It stays on the bus.
    if (run === 'damaged') return Promise.reject(new GreenroomError('STORE_DAMAGED', `run ${request.runId}`))
    // A worker of an earlier life may ask when nothing waits for the answer any more.
    if (run === undefined || !(arbiter.follows(request) || leftWorker(journal, request) !== undefined)) return undefined
    return arbiter.request(request, { address, incarnation, via }, run)
  }
  const stray = { onStrayTerminal, onStrayEvents, onApproval }
  const mailbox = { incarnation: random.id(), clock, onError, ...stray }
  const { promise: reached, resolve: onReached } = Promise.withResolvers<Places>()
  const arbiter = arbiterOf(config, journal, reached)
  const drive = await attachWithin(clock, config.partitionGraceMs, homeHint, (signal) =>
    createDrive({ ...mailbox, address: `${ownNames('runner', subject)}${id}`, bus, onState, signal }),
  )
  fenceLeft(journal, drive.peer)
  const placement = placementOf(config, drive.peer, { address, issue })
  const pool = poolOf(config, placement)
  const isGone = (record: AttemptRecord): Promise<boolean> => hasEnded(record, config)
  const whyNotDetached = obstacleToDetaching(config, bus)
  const detached = [...config.roles].find(([, role]) => role.detached === true)
  if (detached !== undefined && whyNotDetached !== undefined)
    throw new GreenroomError('MISSING_FEATURE', `roles.${detached[0]}.detached: ${whyNotDetached}`)
  const openDrive: PlacesParts['openDrive'] = ({ subject: whose, site, ...options }) =>
    createDrive({ ...mailbox, address: `${ownNames('runner', whose)}${id}.${site}`, ...options })
  const places = new Places({ config, drive, pool, openDrive })
  onReached(places)
  const admission = new Admission(config.admission)
  const parts = {
    config,
    journal,
    drive,
    placement,
    pool,
    places,
    admission,
    arbiter,
    budgets: budgetsOf(config, journal),
    isGone,
    whyNotDetached,
    backUp: backUpOf(config, store),
  }
  return { ...parts, sessions, ownSessions }
}

function placementOf(config: Config, peer: Peer, { address: bus, issue }: Pick<Home, 'address' | 'issue'>): Placement {
  const { dataDir, clock, random, logger } = config
  const own = peer.address.slice(ownNames('runner', undefined).length)
  return createLocalPlacement({
    launcher: config.launcher,
    peer,
    bus,
    issue,
    workerNames: `worker.${own}.`,
    presenceRole: `worker-of.${own}`,
    environment: (also) => workerEnvironment([...config.env, ...also], dataDir),
    cancelGraceMs: config.cancelGraceMs,
    partitionGraceMs: config.partitionGraceMs,
    host: hostName,
    outputOf: (worker) => outputOf(dataDir ?? '.', worker),
    clock,
    random,
    logger,
  })
}

function poolOf(config: Config, placement: Placement): Pool<WorkerNeed, PlacedWorker> {
  const { clock, random, logger } = config
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
  return pool
}

function sessionsOf({ sessions, clock }: Config, store: PatientStore): Pick<Surroundings, 'sessions' | 'ownSessions'> {
  if (sessions !== undefined) return { sessions: withDeadline(sessions, clock), ownSessions: undefined }
  const ownSessions = new StoreSessions(store)
  return { sessions: ownSessions, ownSessions }
}

function obstacleToDetaching({ bus: choice, dataDir, launcher }: Config, bus: Bus): string | undefined {
  if (choice === undefined) return 'detached runs need a broker that outlives the runner: createRunner({ bus })'
  if (!bus.capabilities.has('detached')) return 'this bus does not keep detached runs'
  if (dataDir === null) return 'detached runs need a dataDir, in which a later life finds them'
  return launcher.canDetach === true ? undefined : 'its launcher cannot start a process that outlives the runner'
}

function budgetsOf({ clock, budget, inspect, logger }: Config, journal: Journal): Budgets {
  return new Budgets({
    journal: journal.budgets,
    clock,
    budget,
    given: (runId) => journal.run(runId)?.budget,
    isTimeless: inspect,
    warn: (...words) => logger.warn(...words),
  })
}

/** Who the runner is, once its journal knows that it lives, and on what. */
async function beginLife(journal: Journal, { restoredFrom }: Store, { random, logger }: Config): Promise<string> {
  const id = await journal.identity(random.id())
  const open = await journal.restored(restoredFrom)
  if (open !== undefined) logger.warn('restored from a backup: runs that were open in it are not done again', { open })
  return id
}

/** What is in memory is on no disk, and there is nothing to restore it to. */
function backUpOf({ dataDir }: Config, store: Store): Surroundings['backUp'] {
  return async (path) => {
    if (dataDir !== null) return backUp(store, path)
    throw new GreenroomError('MISSING_FEATURE', 'this runner keeps nothing on a disk: dataDir is null')
  }
}

/** Whom earlier lives could not declare gone before they ended. */
function fenceLeft(journal: Journal, peer: Peer): void {
  for (const { fenced, ...worker } of journal.workers.unfenced())
    peer
      .fence(worker)
      .then(fenced)
      .catch(() => undefined)
}

/** It is there before its mailbox is: what waits there comes at once. */
function arbiterOf(config: Config, journal: Journal, reached: Promise<Places>): Arbiter {
  const { clock, random, logger } = config
  const arbiter = new Arbiter({
    journal: journal.approvals,
    send: async (message, via, signal) => sendWhenRoom((await reached).peerAt(via), message, clock, { signal }),
    clock,
    random,
    options: config.approvals,
    postureOf: (role) => postureOf(config, role),
    warn: (message, fields) => logger.warn(message, fields),
  })
  arbiter.recover((ref) => leftWorker(journal, ref))
  return arbiter
}

/** The worker of an attempt of an earlier life that may go on. */
function leftWorker(journal: Journal, { runId, epoch }: RunRef): AttemptRecord | undefined {
  const run = journal.openRun(runId)
  const left = run === undefined || run.isRestored ? undefined : leftDetached(run)
  return left?.epoch === epoch ? left : undefined
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
  { address, pid, host, process: stamp, kind }: AttemptRecord,
  launcher: Launcher,
): (() => boolean | Promise<boolean>) | undefined {
  if (kind !== undefined) return undefined
  if (launcher.hasEnded !== undefined) return () => launcher.hasEnded?.(address) ?? false
  return pid === undefined || host !== hostName ? undefined : () => !isSameProcess(pid, stamp)
}
