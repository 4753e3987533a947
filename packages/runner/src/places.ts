/** The places of a runner: where each run's worker is found or made, and by which mailbox the runner reaches it. */
import { GreenroomError, type ErrorCode } from '@greenroom/proto'
import type { Config } from './config.ts'
import type { Drive } from './drive/index.ts'
import { placeOf, type Place } from './place.ts'
import { Residents, type Lack, type PlacedWorker, type ResidentLease, type WorkerNeed } from './placement/index.ts'
import type { Plan } from './plan.ts'
import type { Lease, Pool } from './pool/index.ts'

/** The right to use a worker, and the mailbox that reaches it. */
export interface WorkerLease extends Lease<PlacedWorker> {
  /** Follows what the worker says. */
  readonly drive: Drive
  /** The worker has accepted the run. */
  accepted(): void
}

/** What differs between attempts. */
export interface Acquiring {
  /** Lives of resident workers that did not answer this run. */
  readonly excluded: ReadonlySet<string>
  /** Ends the waiting. */
  readonly signal: AbortSignal
}

/** What places are made of. */
export interface PlacesParts {
  readonly config: Pick<Config, 'roles' | 'clock' | 'random'>
  /** The runner's mailbox on its own bus. */
  readonly drive: Drive
  /** Local workers. */
  readonly pool: Pool<WorkerNeed, PlacedWorker>
}

const poolCodes: Readonly<Record<Lack, ErrorCode>> = { nobody: 'POOL_EMPTY', unfit: 'POOL_EMPTY', full: 'POOL_FULL' }

/** See above. */
export class Places {
  readonly #parts: PlacesParts
  /** By their name. */
  readonly #pools = new Map<string, Residents>()

  /** @param parts - see {@link PlacesParts} */
  constructor(parts: PlacesParts) {
    this.#parts = parts
    // From the start: who is there is known when the first run comes.
    for (const role of parts.config.roles.values()) {
      const place = placeOf(role)
      if (place.kind === 'pool') this.#poolOf(place.pool)
    }
  }

  /**
   * Gets a worker for a run; a placed one never falls back to a local process.
   *
   * @param plan - the run's
   * @param acquiring - see {@link Acquiring}
   * @throws GreenroomError `POOL_EMPTY`, `POOL_FULL`, what `Pool.acquire` throws; `ABORTED`, `CLOSED`
   */
  acquire({ need, place }: Pick<Plan, 'need' | 'place'>, acquiring: Acquiring): Promise<WorkerLease> {
    return place.kind === 'local' ? this.#local(need, acquiring) : this.#pooled(need, place, acquiring)
  }

  /** Chooses no resident any more. */
  close(): void {
    for (const residents of this.#pools.values()) residents.close()
  }

  async #local(need: WorkerNeed, { signal }: Acquiring): Promise<WorkerLease> {
    const { pool, drive } = this.#parts
    return { ...(await pool.acquire(need, signal)), drive, accepted: () => undefined }
  }

  async #pooled(
    { executor }: WorkerNeed,
    { pool, labels, version, maxWaitMs }: Extract<Place, { kind: 'pool' }>,
    { excluded, signal }: Acquiring,
  ): Promise<WorkerLease> {
    const need = { executor, labels, version, maxWaitMs, excluded }
    return leaseOf(await this.#poolOf(pool).acquire(need, signal), this.#parts.drive)
  }

  #poolOf(name: string): Residents {
    const known = this.#pools.get(name)
    if (known !== undefined) return known
    const { config, drive } = this.#parts
    const lacking = (lack: Lack, words: string): GreenroomError =>
      new GreenroomError(poolCodes[lack], `pool "${name}": ${words}`)
    const { clock, random } = config
    const options = { peer: drive.peer, role: name, kind: 'pool', host: name, lacking, clock, random } as const
    const residents = new Residents(options)
    this.#pools.set(name, residents)
    return residents
  }
}

/** Whoever gives it back in order before it was accepted was refused. */
function leaseOf({ worker, accepted, release }: ResidentLease, drive: Drive): WorkerLease {
  return { worker, warm: true, drive, accepted, release: (how) => release(how === 'retire') }
}
