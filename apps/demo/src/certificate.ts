/** A certificate for this machine's loopback address, made on the spot: whoever is given it as `ca` trusts nobody else. */

/** Certificate and key as PEM. */
export interface MadeCertificate {
  readonly cert: string
  readonly key: string
}

const DAY = 24 * 60 * 60 * 1000

/** Makes one that holds for a day, and from a while ago on: clocks differ. */
export async function makeCertificate(): Promise<MadeCertificate> {
  // It takes a tenth of a second to load, which no survey without a remote worker should wait for.
  const { generate } = await import('selfsigned')
  const now = Date.now()
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate: new Date(now - DAY),
    notAfterDate: new Date(now + DAY),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  })
  return { cert, key }
}
