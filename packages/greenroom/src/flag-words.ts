/** What keeps a broker from starting, in the words of whoever typed flags: the broker speaks of its options. */
import { codeOf, GreenroomError, type ErrorCode } from '@greenroom/proto'

/** Options as the broker names them, and the flags that set them. */
const flags: readonly (readonly [option: RegExp, flag: string])[] = [
  [/\boptions\.operatorToken\b/, 'the token in --operator-token-file'],
  [/\boptions\.token\b/, 'the token in --token-file'],
  [/\boptions\.tokenKeys\b(?:\[\d+\])?/, 'a key in --token-key-file'],
  [/\boptions\.listen\.tls\b/, '--PREFIXcert and --PREFIXkey'],
  [/\boptions\.listen\.(?:host|port|socket)\b/, '--listen'],
  [/\binsecure: true\b/, '--insecure'],
  [/^(?:options\.)?dir\b/, '--data'],
]

/** Codes of what is wrong with the data folder; an address is refused with others. */
const storeCodes: ReadonlySet<ErrorCode | undefined> = new Set<ErrorCode>([
  'DATA_DIR_IN_USE',
  'SCHEMA_TOO_NEW',
  'MIGRATION_FAILED',
  'STORE_DAMAGED',
  'STORE_FAILED',
  'STORAGE_FULL',
  'COMMIT_UNKNOWN',
  'IO_FAILED',
])

/**
 * Names the flag that an error of `createBroker` is about.
 *
 * @param error - what was thrown
 * @param prefix - what the flags of certificate and key begin with, behind `--`
 * @returns the same error, or one that says the same in flags, with the same code
 */
export function inFlags(error: unknown, prefix = ''): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error
  const said = flags.reduce(
    (text, [option, flag]) => text.replace(option, flag.replaceAll('PREFIX', prefix)),
    error.message,
  )
  const code = codeOf(error)
  const message = said === error.message ? `${storeCodes.has(code) ? '--data' : '--listen'}: ${said}` : said
  return code === undefined ? new Error(message, { cause: error }) : new GreenroomError(code, message, { cause: error })
}

/**
 * Names the flags that an error of connecting to a bus is about.
 *
 * @param code - the error's
 * @param message - what it says
 * @returns the same in flags
 */
export function connectingInFlags(code: ErrorCode, message: string): string {
  if (code === 'CERTIFICATE_UNTRUSTED') return message.replace(/\bas ca$/, 'as --ca')
  if (code === 'INSECURE_URL') return message.replace(/\bsay insecure$/, 'give --insecure')
  return message
}
