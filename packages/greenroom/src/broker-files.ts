/** The files of a broker that may change while it runs: the keys of its tokens, and its certificate. */
import type { Broker, BrokerLogger } from '@greenroom/broker'
import { systemClock } from '@greenroom/proto'
import { readCertificate, whyNotHolding } from './platform/certificate.ts'
import { readGivenFile } from './platform/given-file.ts'
import { watchFiles } from './platform/watched-file.ts'
import { readTokenKeys } from './token-keys.ts'

/** Where they are. */
export interface BrokerFiles {
  /** Keys of signed tokens, closed to other users. */
  readonly tokenKeyFile?: string | undefined
  /** Certificate and key as PEM. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/**
 * Reads them again when they change; whatever is wrong with the new ones, the old ones stay. A certificate that clients will refuse
 * for its dates is used all the same, and warned of, from the beginning.
 *
 * @param broker - it
 * @param files - where they are
 * @param options - `flags`: what the names of the certificate's flags begin with; `logger`: told of each reading
 */
export function followBrokerFiles(
  broker: Broker,
  { tokenKeyFile, cert, key }: BrokerFiles,
  { flags, logger }: { readonly flags: string; readonly logger: BrokerLogger },
): Disposable {
  const carefully = (what: string, work: () => void): void => {
    try {
      work()
      logger('info', `${what} read again`, {})
    } catch (error) {
      logger('warn', `${what} not taken`, { error: error instanceof Error ? error.message : String(error) })
    }
  }
  const watching = new DisposableStack()
  const look = (file: string, pem: string): void => {
    const why = whyNotHolding(pem, systemClock.now())
    if (why !== undefined) logger('warn', 'certificate refused by clients', { file, why })
  }
  if (tokenKeyFile !== undefined)
    watching.use(
      watchFiles([tokenKeyFile], () =>
        carefully('token keys', () => broker.useTokenKeys(readTokenKeys('--token-key-file', tokenKeyFile))),
      ),
    )
  if (cert !== undefined && key !== undefined) {
    look(cert, readGivenFile(`${flags}cert`, cert, { secret: false }))
    const take = (): void => {
      const newer = readCertificate(cert, key, flags)
      broker.useCertificate(newer)
      look(cert, newer.cert)
    }
    watching.use(watchFiles([cert, key], () => carefully('certificate', take)))
  }
  return watching
}
