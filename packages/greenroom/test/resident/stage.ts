/** A broker, resident workers and runners, the first two as real programs. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createRunner, type AnyRunner, type PoolPlacement, type RoleOptions } from '../../src/index.ts'
import { start, temporaryFolder, type Program } from '../program.ts'

const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))
/** The worker file. */
export const file = fileURLToPath(new URL('worker.ts', import.meta.url))
export const token = 'a-token-of-enough-length'
/** A worker whose start here fails. */
export const unusable = { command: ['/nowhere/worker'] }
const names = ['who', 'work', 'spin', 'knows']

/** See above. */
export class ResidentStage implements AsyncDisposable {
  readonly path: string
  readonly tokenFile: string
  readonly #stack = new AsyncDisposableStack()
  #url = ''
  #token = token

  constructor() {
    const folder = this.#stack.use(temporaryFolder())
    this.path = folder.path
    this.tokenFile = this.file('token', token)
  }

  /** Writes a file that is closed to others. */
  file(name: string, text: string): string {
    const path = join(this.path, name)
    mkdirSync(this.path, { recursive: true })
    writeFileSync(path, `${text}\n`, { mode: 0o600 })
    return path
  }

  /** Starts the command; it ends with the stage. */
  command(...args: string[]): Program {
    return this.#stack.use(start(cli, args, { cwd: this.path }))
  }

  /** Starts the broker. */
  async broker(listen = '127.0.0.1:0', ...more: string[]): Promise<string> {
    const args = ['--data', join(this.path, 'data'), '--listen', listen, '--token-file', this.tokenFile, ...more]
    const [, url = ''] = await this.command('broker', ...args).line(/ready at (\S+)\n/)
    this.#url = url
    return url
  }

  /** Has its members and runners at a broker that is there; runners show `runners` to it. */
  use(url: string, runners = token): this {
    this.#url = url
    this.#token = runners
    return this
  }

  /** Starts a member of the pool `crew`. */
  member(...more: string[]): Program {
    return this.command('worker', file, '--bus', this.#url, '--role', 'crew', '--token-file', this.tokenFile, ...more)
  }

  /** A runner that could start nothing itself. */
  async runner(placement: Partial<PoolPlacement> = {}, role: Partial<RoleOptions> = {}): Promise<AnyRunner> {
    const place = { pool: 'crew', ...placement }
    const roles = Object.fromEntries(names.map((executor) => [executor, { executor, placement: place, ...role }]))
    const bus = { url: this.#url, token: this.#token }
    return this.#stack.use(await createRunner({ worker: unusable, roles, bus, dataDir: null, quiet: true }))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync()
  }
}

/** Waits until a member is ready; says its mailbox. */
export async function ready(member: Program): Promise<string> {
  const [, address = ''] = await member.line(/ready at \S+ in crew as (\S+)\n/)
  return address
}
