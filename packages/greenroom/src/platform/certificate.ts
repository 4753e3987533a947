/** A certificate with its key, out of the files that the command line names. */
import { X509Certificate } from 'node:crypto'
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

/**
 * Why clients will refuse a certificate at present, as far as that is seen by its dates.
 *
 * @param pem - the certificate, or a chain that begins with it
 * @param now - milliseconds since the epoch
 * @returns undefined when it holds
 */
export function whyNotHolding(pem: string, now: number): string | undefined {
  const { validFromDate, validToDate } = new X509Certificate(pem)
  if (now > validToDate.getTime()) return `it has expired at ${validToDate.toISOString()}`
  return now < validFromDate.getTime() ? `it does not hold before ${validFromDate.toISOString()}` : undefined
}
