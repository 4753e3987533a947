/**
 * `greenroom broker`: a broker as a program of its own.
 *
 * One line on standard output says that it is ready, and where; what else it has to say goes to standard error.
 * The first SIGTERM or SIGINT drains it, another one closes it at once. Either way: what was receipted is on disk.
 */
import { resolve } from 'node:path'
import { createBroker, type Broker, type BrokerOptions } from '@greenroom/broker'
import { codeOf, GreenroomError } from '@greenroom/proto'
import { followBrokerFiles } from './broker-files.ts'
import { brokerLogger } from './broker-log.ts'
import { inFlags } from './flag-words.ts'
import { parseListenAddress } from './listen-address.ts'
import { readCertificate, type Certificate } from './platform/certificate.ts'
import { readGivenFile } from './platform/given-file.ts'
import { readTokenKeys } from './token-keys.ts'

/** What the command line says. */
export interface BrokerCommand {
  /** The data folder. */
  readonly data: string
  /** See {@link parseListenAddress}. */
  readonly listen: string
  /** A file that holds the clients' plain token, closed to other users. */
  readonly tokenFile?: string
  /** A file that holds keys of signed tokens, closed to other users; it is read again when it changes. */
  readonly tokenKeyFile?: string
  /** A file that holds the operators' token, closed to other users. */
  readonly operatorTokenFile?: string
  /** Files with certificate and key as PEM: serve `wss`; they are read again when they change. */
  readonly cert?: string
  readonly key?: string
  /** Listen off loopback without TLS all the same. */
  readonly insecure?: boolean
  /** Write lines of JSON in place of text. */
  readonly json?: boolean
}

/**
 * Runs a broker until a signal stops it.
 *
 * @param command - the command line
 * @throws GreenroomError `BAD_OPTIONS`, and whatever keeps a broker from starting; each names the flag that it is about
 */
export async function runBroker(command: BrokerCommand): Promise<void> {
  await using broker = await start(optionsOf(command))
  let stopping: Promise<void> | undefined
  const stop = (): void => {
    if (stopping === undefined) stopping = broker.drain()
    else void broker.close()
  }
  process.on('SIGTERM', stop).on('SIGINT', stop)
  using _followed = followBrokerFiles(broker, command, { flags: '--', logger: brokerLogger(command.json ?? false) })
  const url = broker.url ?? ''
  process.stdout.write(
    command.json === true
      ? `${JSON.stringify({ level: 'info', event: 'ready', url })}\n`
      : `greenroom broker ready at ${url}\n`,
  )
  await broker.closed
  if (stopping === undefined) throw new GreenroomError('CLOSED', 'the broker ended by itself: its log says why')
  await stopping
}

async function start(options: BrokerOptions): Promise<Broker> {
  try {
    return await createBroker(options)
  } catch (cause) {
    const error = inFlags(cause)
    if (codeOf(error) !== 'DATA_DIR_IN_USE' || !(error instanceof Error)) throw error
    throw new GreenroomError('DATA_DIR_IN_USE', `${error.message} Stop it, or give this one another folder.`, { cause })
  }
}

function optionsOf({
  data,
  listen,
  tokenFile,
  tokenKeyFile,
  operatorTokenFile,
  cert,
  key,
  insecure = false,
  json = false,
}: BrokerCommand): BrokerOptions {
  const address = parseListenAddress(listen)
  if ('socket' in address && (cert !== undefined || key !== undefined))
    throw new GreenroomError('BAD_OPTIONS', `--cert and --key are for a TCP port: --listen ${listen} needs none`)
  if (tokenFile === undefined && tokenKeyFile === undefined)
    throw new GreenroomError('BAD_OPTIONS', 'whom does it let in? Give --token-file, --token-key-file, or both')
  const tls = certificate(cert, key)
  return {
    dir: data,
    listen: 'socket' in address ? { socket: resolve(address.socket) } : { ...address, ...tls, insecure },
    ...(tokenFile !== undefined && { token: readToken('--token-file', tokenFile) }),
    ...(tokenKeyFile !== undefined && { tokenKeys: readTokenKeys('--token-key-file', tokenKeyFile) }),
    ...(operatorTokenFile !== undefined && { operatorToken: readToken('--operator-token-file', operatorTokenFile) }),
    logger: brokerLogger(json),
  }
}

function readToken(flag: string, file: string): string {
  return readGivenFile(flag, file, { secret: true }).trim()
}

function certificate(cert?: string, key?: string): { tls?: Certificate } {
  if (cert !== undefined && key !== undefined) return { tls: readCertificate(cert, key) }
  if (cert === undefined && key === undefined) return {}
  throw new GreenroomError('BAD_OPTIONS', '--cert and --key go together')
}
