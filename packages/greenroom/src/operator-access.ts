/**
 * How an operator's command reaches a broker: a running one over its address, a stopped one by its data folder, that of a
 * running runner by what it left there for whoever may read it.
 */
import { brokerSchema, createBroker, type Broker } from '@greenroom/broker'
import { connectOperator, type ConnectedOperator, type ConnectOperatorOptions } from '@greenroom/bus'
import { codeOf, GreenroomError, systemClock, type Operator } from '@greenroom/proto'
import { findOperatorDoor, hasJournal } from '@greenroom/runner'
import { inspectStore } from '@greenroom/store'
import type { Command } from 'commander'
import { connectingInFlags, inFlags } from './flag-words.ts'
import { hasStore } from './platform/data-folder.ts'
import { readGivenFile } from './platform/given-file.ts'
import { sayWhenSlow } from './slow-answer.ts'

/** What every operator's command is told. */
export interface OperatorAccess {
  /** Where a running broker listens. */
  readonly url?: string
  /** A file that holds the operators' token, closed to other users. */
  readonly tokenFile?: string
  /** A file with the certificate authority to trust, as PEM. */
  readonly ca?: string
  /** Use ws:// to another machine all the same. */
  readonly insecure?: boolean
  /** The data folder of a broker that does not run, or of a runner. */
  readonly data?: string
  /** Write one document of JSON in place of text. */
  readonly json?: boolean
}

/** Adds the flags of {@link OperatorAccess} to a command. */
export function withAccess(command: Command): Command {
  return command
    .allowExcessArguments(false)
    .option('--url <url>', 'a running broker: what it said when it was ready (ws://…, wss://…, ws+unix://…)')
    .option('--token-file <file>', "holds the operators' token (see: greenroom broker --operator-token-file)")
    .option('--ca <file>', 'certificate authority as PEM, to trust instead of the public ones')
    .option('--insecure', 'use ws:// to another machine all the same: whoever is in between sees the token')
    .option('--data <dir>', "a runner's data folder, or that of a broker that does not run, in place of --url")
    .option('--json', 'write one document of JSON')
}

/**
 * Lets an operator work on a broker.
 *
 * @param access - which broker
 * @param work - what to do there
 * @throws GreenroomError `BAD_OPTIONS`, whatever keeps it from being reached, and what the work throws
 */
export async function asOperator<T>(access: OperatorAccess, work: (operator: Operator) => Promise<T>): Promise<T> {
  const data = folderOf(access)
  return data === undefined ? overAddress(access.url ?? '', access, work) : onFolder(data, work)
}

/**
 * The data folder that a command is about.
 *
 * @param access - which broker
 * @returns undefined when it is about a running broker
 * @throws GreenroomError `BAD_OPTIONS` when the flags do not go together, or there is no data
 */
export function folderOf({ url, data, tokenFile, ca }: OperatorAccess): string | undefined {
  if (url !== undefined && data !== undefined)
    throw new GreenroomError(
      'BAD_OPTIONS',
      '--url and --data exclude each other: --url is a broker that runs, --data the folder of one that does not, or of a runner',
    )
  if (url === undefined && data === undefined)
    throw new GreenroomError('BAD_OPTIONS', 'which broker? Give --url with --token-file, or --data')
  if (data === undefined) return undefined
  if (tokenFile !== undefined || ca !== undefined)
    throw new GreenroomError('BAD_OPTIONS', '--token-file and --ca go with --url: --data needs none')
  if (!hasStore(data)) throw new GreenroomError('BAD_OPTIONS', `--data: there is no broker's data in ${data}`)
  return data
}

async function overAddress<T>(
  url: string,
  { tokenFile, ca, insecure = false }: OperatorAccess,
  work: (operator: Operator) => Promise<T>,
): Promise<T> {
  if (tokenFile === undefined) throw new GreenroomError('BAD_OPTIONS', '--url goes together with --token-file')
  const token = readGivenFile('--token-file', tokenFile, { secret: true }).trim()
  const trusted = ca === undefined ? {} : { ca: readGivenFile('--ca', ca, { secret: false }) }
  await using operator = await connected(url, { url, token, insecure, ...trusted })
  try {
    return await work(operator)
  } catch (error) {
    if (codeOf(error) !== 'FORBIDDEN') throw error
    const said = "--token-file holds a client's token: give the one of greenroom broker --operator-token-file"
    throw new GreenroomError('FORBIDDEN', said, { cause: error })
  }
}

async function connected(url: string, options: ConnectOperatorOptions): Promise<ConnectedOperator> {
  using _ = sayWhenSlow(systemClock, () => process.stderr.write(`greenroom: waiting for an answer of ${url}\n`))
  try {
    return await connectOperator(options)
  } catch (error) {
    throw notConnected(error, url)
  }
}

/** The same error, in the words of whoever typed flags. */
function notConnected(error: unknown, url: string): unknown {
  const code = codeOf(error)
  if (code === 'UNAUTHORIZED')
    return new GreenroomError(
      code,
      `--token-file: ${url} does not know this token: give the one of greenroom broker --operator-token-file`,
      { cause: error },
    )
  if (code === undefined || !(error instanceof Error)) return error
  const said = connectingInFlags(code, error.message)
  return new GreenroomError(code, code === 'BAD_OPTIONS' ? `--url: ${said}` : said, { cause: error })
}

async function onFolder<T>(data: string, work: (operator: Operator) => Promise<T>): Promise<T> {
  checkBroker(data)
  let broker: Broker
  try {
    broker = await createBroker({ dir: data })
  } catch (error) {
    return atItsOwner(data, inUse(data, inFlags(error), 'Ask its broker by --url.'), work)
  }
  try {
    return await work(broker.operator)
  } finally {
    await broker.close()
  }
}

/** A broker makes what it misses: it must not do so in the journal of a runner whose own is elsewhere. */
function checkBroker(data: string): void {
  if (hasBroker(data)) return
  const text = `--data: there is no broker's data in ${data}: its runner has a broker elsewhere. Ask that one by --url.`
  throw new GreenroomError('BAD_OPTIONS', text)
}

function hasBroker(data: string): boolean {
  try {
    using inspection = inspectStore(data, brokerSchema)
    return brokerSchema.collections.some((name) => inspection.collections.includes(name))
  } catch (error) {
    throw inFlags(error)
  }
}

/**
 * Lets an operator work on the broker of the runner that has a folder.
 *
 * @param data - the folder
 * @param error - why the folder itself could not be worked on
 * @param work - what to do there
 * @throws that error, when it is another one than `DATA_DIR_IN_USE`, or the owner lets nobody in; what the work throws
 */
export async function atItsOwner<T>(
  data: string,
  error: unknown,
  work: (operator: Operator) => Promise<T>,
): Promise<T> {
  const door = codeOf(error) === 'DATA_DIR_IN_USE' ? findOperatorDoor(data) : undefined
  if (door === undefined) throw error
  await using operator = await connectOperator(door).catch(() => {
    throw error
  })
  return await work(operator)
}

/**
 * The same error; of a folder that is in use, with the way to ask its owner.
 *
 * @param data - the folder
 * @param error - what was thrown
 * @param ofRunner - what to do when a runner has it: a broker elsewhere does not know what is in there
 */
export function inUse(data: string, error: unknown, ofRunner: string): unknown {
  if (codeOf(error) !== 'DATA_DIR_IN_USE' || !(error instanceof Error)) return error
  const todo = isRunners(data) ? ofRunner : 'Ask it by --url.'
  return new GreenroomError('DATA_DIR_IN_USE', `${error.message} ${todo}`, { cause: error })
}

function isRunners(data: string): boolean {
  try {
    return hasJournal(data)
  } catch {
    // Its owner will know what is wrong with it.
    return false
  }
}
