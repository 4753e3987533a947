/** What a resident worker of a fabric writes into the folder, in which runners of the same user on the same machine find it. */

/** One worker's file in the folder: `<id>.json`. It holds a token, so nobody else may read it. */
export interface FabricRecord {
  /** The version of this record: 1. It also tells a record from what else may be in a folder. */
  readonly fabric: number
  /** Its name in the folder. */
  readonly id: string
  /** The pool that it belongs to. */
  readonly role: string
  /** What a placement may choose it by. = none */
  readonly labels?: Readonly<Record<string, string>>
  /** Its endpoint: `ws+unix://` and the path of a socket. */
  readonly url: string
  /** The bearer token of its endpoint. */
  readonly token: string
  /** The machine, for people. */
  readonly host?: string
  /** The process that keeps the record, for people. */
  readonly pid?: number
  /** From then on it counts as not there, in milliseconds since the Unix epoch. */
  readonly expiresAt: number
}

/** The version of the record. */
export const fabricVersion = 1

/** The lease of a record. */
export const fabricLease = {
  /** How long a record holds from its writing on, in milliseconds. */
  forMs: 60_000,
  /** How often it is written again, in milliseconds: two writings in a row may fail. */
  renewMs: 20_000,
} as const
