/**
 * An endpoint that a resident worker hosts: a bus of its own, with the runner's mailbox on it.
 *
 * - *E1* It is connected when the first run needs it, and stays so.
 * - *E2* One that is not reached for half of `partitionGraceMs` has lost its worker, as far as anybody here can know; what is
 *   left of the grace is for what the worker had stored.
 */
import { connectBus } from '@greenroom/bus'
import { GreenroomError, residentRole, type Bus, type ErrorCode, type PeerState, type Timer } from '@greenroom/proto'
import { attachWithin } from './attach-deadline.ts'
import type { Config } from './config.ts'
import type { Drive, DriveOptions } from './drive/index.ts'
import type { RemotePlacement } from './options.ts'
import { Residents, type Lack } from './placement/index.ts'

/** What endpoints are made of. */
export interface EndpointParts {
  readonly config: Pick<Config, 'clock' | 'random' | 'partitionGraceMs'>
  /** Attaches the runner's mailbox to a bus. */
  readonly openDrive: (
    options: Pick<DriveOptions, 'bus' | 'onState' | 'signal'> & {
      /** Whose token the runner shows there; undefined of a plain one. */
      readonly subject: string | undefined
    },
  ) => Promise<Drive>
}

const codes: Readonly<Record<Lack, ErrorCode>> = { nobody: 'CONNECT_FAILED', unfit: 'UNKNOWN_EXECUTOR', full: 'BUSY' }

/** What to look at when it is not reached. */
const hint = 'does a worker run there (greenroom worker --listen), and are placement.remote and ca right?'

/** See E1 and E2. */
export class Endpoint {
  readonly drive: Drive
  readonly residents: Residents
  readonly #bus: Bus

  private constructor(bus: Bus, drive: Drive, residents: Residents) {
    this.#bus = bus
    this.drive = drive
    this.residents = residents
  }

  /**
   * Connects to one.
   *
   * @param target - where, and as whom
   * @param host - for people
   * @param withinMs - how long that may take
   * @throws GreenroomError `CONNECT_FAILED`, `UNAUTHORIZED`, what attaching rejects with
   */
  static async open(
    { config, openDrive }: EndpointParts,
    { remote, token, ca, insecure = false }: RemotePlacement,
    host: string,
    withinMs: number,
  ): Promise<Endpoint> {
    const { clock, random, partitionGraceMs } = config
    const options = { url: remote, token, insecure, agent: 'greenroom-runner', background: true, clock, random }
    const bus = connectBus({ ...options, ...(ca === undefined ? {} : { ca }) })
    let residents: Residents | undefined
    let missing: Timer | undefined
    const onState = (state: PeerState): void => {
      missing?.cancel()
      if (state === 'lost')
        missing = clock.timer(partitionGraceMs / 2, () => residents?.loseAll(), { background: true })
    }
    try {
      const drive = await attachWithin(clock, withinMs, hint, async (signal) =>
        openDrive({ subject: await bus.subject(), bus, onState, signal }),
      )
      const lacking = (lack: Lack, words: string): GreenroomError =>
        new GreenroomError(codes[lack], `${remote}: ${words}`)
      residents = new Residents({ peer: drive.peer, role: residentRole, kind: 'remote', host, lacking, clock, random })
      return new Endpoint(bus, drive, residents)
    } catch (error) {
      await bus.close()
      throw error
    }
  }

  /** Disconnects from it, whether it was left in order or not. */
  close(): Promise<void> {
    this.residents.close()
    return this.#bus.close()
  }
}
