/** A certificate with its key, out of the files that the command line names. */
import { createSecureContext } from 'node:tls'
import { GreenroomError } from '@greenroom/proto'
import { readGivenFile } from './given-file.ts'

/** Certificate and key as PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/**
 * Reads a certificate and its key.
 *
 * @param cert - the certificate's file
 * @param key - the key's file, closed to other users
 * @param flags - what the names of the two flags begin with. = `--`
 * @throws GreenroomError `BAD_OPTIONS` naming flags and files
 */
export function readCertificate(cert: string, key: string, flags = '--'): Certificate {
  const pem = {
    cert: readGivenFile(`${flags}cert`, cert, { secret: false }),
    key: readGivenFile(`${flags}key`, key, { secret: true }),
  }
  try {
    createSecureContext(pem)
    return pem
  } catch (cause) {
    throw new GreenroomError(
      'BAD_OPTIONS',
      `${flags}cert ${cert} and ${flags}key ${key} are no certificate with its key`,
      {
        cause,
      },
    )
  }
}
