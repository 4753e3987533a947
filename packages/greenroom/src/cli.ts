/**
 * The `greenroom` command, behind `bin`.
 *
 * Exit code: 0 when it did what it was asked to, 2 for bad arguments, 1 for everything else that went wrong, also when what it was
 * asked about is not there or somebody else was faster; either is explained in one line on standard error. `doctor` also ends with 1 when something is broken; its findings are its output.
 */
import { Command, CommanderError, Option } from 'commander'
import { codeOf } from '@greenroom/proto'
import {
  allowApproval,
  denyApproval,
  listApprovals,
  listGrants,
  revokeGrant,
  showApproval,
  type AllowCommand,
  type ApprovalAccess,
  type DenyCommand,
  type ListCommand,
} from './approvals-command.ts'
import { makeBackup, restore, type BackupCommand, type RestoreCommand } from './backup-command.ts'
import { runBroker, type BrokerCommand } from './broker-command.ts'
import {
  listDeadLetters,
  purgeDeadLetters,
  requeueDeadLetters,
  showDeadLetter,
  type LettersAccess,
} from './dead-letters-command.ts'
import { examine, type DoctorCommand } from './doctor-command.ts'
import { runGc, type GcCommand } from './gc-command.ts'
import { deleteMailbox, listMailboxes } from './mailboxes-command.ts'
import { runMcp } from './mcp-command.ts'
import { checkNeeded, Needed } from './needed-option.ts'
import { withAccess, type OperatorAccess } from './operator-access.ts'
import { inspectToken, makeToken, type TokenCommand } from './token-command.ts'
import { runWorker, type WorkerCommand } from './worker-command.ts'
import { readVersion } from './platform/version.ts'

/** A command that does nothing by itself: it says which others it has. */
function groupOf(commands: Command): Command {
  return commands
    .allowExcessArguments()
    .allowUnknownOption()
    .helpCommand(true)
    .action(() => {
      const [word] = commands.args
      const flaw =
        word === undefined ? 'which command?' : word.startsWith('-') ? `no option "${word}".` : `no command "${word}".`
      commands.error(`${flaw} There is: ${commands.commands.map((command) => command.name()).join(', ')} (see --help)`)
    })
}

function program(): Command {
  const greenroom = groupOf(new Command('greenroom'))
    .description('AI sub-agents as isolated, warm, supervised processes over a durable bus.')
    .version(readVersion())
    .configureOutput({ writeErr: () => {} })
    .exitOverride()
    .hook('preAction', (_, command) => checkNeeded(command))
  greenroom
    .command('broker')
    .allowExcessArguments(false)
    .description('Runs a broker until SIGTERM: the first drains it, another one closes it at once.')
    .addOption(new Needed('--data <dir>', 'the data folder; only one live broker may have it'))
    .addOption(new Needed('--listen <address>', 'HOST:PORT (port 0: any that is free), [IPv6]:PORT or unix:PATH'))
    .option('--token-file <file>', 'holds a plain token that lets clients do everything; closed to other users')
    .option('--token-key-file <file>', 'holds keys of signed tokens, one a line: see token; read again when it changes')
    .option('--operator-token-file <file>', 'holds another one, for operators: see mailboxes and dead-letters')
    .option('--cert <file>', 'certificate as PEM: serve wss; read again when it changes, as its key is')
    .option('--key <file>', 'its key as PEM; closed to other users')
    .option('--insecure', 'listen off loopback without TLS all the same')
    .option('--json', 'write lines of JSON in place of text')
    .action((options: BrokerCommand) => runBroker(options))
  greenroom
    .command('gc')
    .allowExcessArguments(false)
    .description(
      'Forgets the runs of a data folder that ended long ago; transcripts of named sessions stay. No runner may have the folder: one that has it forgets them by itself (retentionMs).',
    )
    .addOption(new Needed('--data <dir>', "a runner's data folder"))
    .addOption(new Needed('--older-than <age>', 'how long ago they ended: 90s, 30m, 12h or 7d'))
    .option('--json', 'write JSON in place of text')
    .action((options: GcCommand) => runGc(options))
  addApprovals(greenroom)
  addTokens(greenroom)
  addWorker(greenroom)
  greenroom
    .command('mcp <file>')
    .allowExcessArguments(false)
    .description(
      'Lets an MCP client (Claude Code, Codex) start and lead children, over standard input and output. The file has a default export { runner, delegates }.',
    )
    .action((file: string) => runMcp(file))
  addMailboxes(greenroom)
  addDeadLetters(greenroom)
  addCare(greenroom)
  return greenroom
}

function addApprovals(greenroom: Command): void {
  const approvals = groupOf(greenroom.command('approvals')).description(
    'Shows what the runs of a running runner ask for, and decides.',
  )
  const add = (command: string, description: string): Command =>
    approvals
      .command(command)
      .allowExcessArguments(false)
      .description(description)
      .requiredOption('--data <dir>', "a running runner's data folder")
      .option('--json', 'write one document of JSON')
  // Ids may begin with a dash.
  const about = (command: string, description: string): Command => add(command, description).allowUnknownOption()
  add('list', 'Lists those that wait for a decision.')
    .option('--all', 'also those that have one')
    .option('--run <id>', 'only those of this run')
    .action((options: ListCommand) => listApprovals(options))
  about('show <id>', 'Shows one: what exactly is asked, and what was decided.').action(
    (id: string, access: ApprovalAccess) => showApproval(id, access),
  )
  about('allow <id>', 'Allows it; ends with 1 when somebody else was faster.')
    .option('--input <json>', 'what it may be called with instead: of the same shape')
    .addOption(new Option('--scope <scope>', 'how long that holds').choices(['once', 'run', 'session']).default('once'))
    .option('--reason <text>', 'why')
    .action((id: string, options: AllowCommand) => allowApproval(id, options))
  about('deny <id>', 'Denies it; ends with 1 when somebody else was faster.')
    .option('--reason <text>', 'why')
    .action((id: string, options: DenyCommand) => denyApproval(id, options))
  add('grants', 'Lists the answers that hold for more than one call.').action((access: ApprovalAccess) =>
    listGrants(access),
  )
  about('revoke <id>', 'Takes a grant back; ends with 1 when there is none.').action(
    (id: string, access: ApprovalAccess) => revokeGrant(id, access),
  )
}

function addTokens(greenroom: Command): void {
  const several = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]
  const token = greenroom
    .command('token')
    .allowExcessArguments(false)
    .description(
      'Makes a signed token. A pattern is a name, or the beginning of names and a *; options with one may be given more than once.',
    )
    .option(
      '--key-file <file>',
      "holds the broker's keys (see: greenroom broker --token-key-file): the first one signs",
    )
    .option('--subject <name>', 'whose it is, for people and logs')
    .option('--role <role>', 'what it is for: worker, runner or operator')
    .option('--consume <pattern>', 'mailboxes to attach to', several)
    .option(
      '--send <pattern[:kinds]>',
      'mailboxes to send to, and which kinds, with commas; all kinds when left out',
      several,
    )
    .option('--present <pattern>', 'roles to be present as', several)
    .option('--watch <pattern>', 'roles to watch', several)
    .option('--approvals <pattern>', 'roles whose approvals may be answered', several)
    .option('--expires <age>', 'for how long: 90s, 30m, 12h or 7d', '1h')
    .action((options: Partial<TokenCommand>) => {
      const { keyFile, subject, expires = '1h' } = options
      if (keyFile === undefined || subject === undefined) return token.error('give --key-file and --subject')
      return makeToken({ ...options, keyFile, subject, expires })
    })
  token
    .command('inspect')
    .allowExcessArguments(false)
    .description('Shows what a token says; with the keys, whether it is worth anything.')
    .addOption(new Needed('--token-file <file>', 'holds the token; closed to other users'))
    .option('--key-file <file>', "holds the broker's keys")
    .option('--json', 'write one document of JSON')
    .action((_: object, command: Command) => inspectToken(command.optsWithGlobals()))
}

function addWorker(greenroom: Command): void {
  const collect = (word: string, words: readonly string[]): string[] => [...words, word]
  greenroom
    .command('worker <file>')
    .allowExcessArguments(false)
    .description(
      'Runs a worker file as a resident worker until SIGTERM: the first lets its runs end, another one ends them, and gives up what the bus has not taken. It comes back after a lost connection or a crash.',
    )
    .option('--bus <url>', 'joins a pool on this bus: ws://, wss:// or ws+unix:// and a path')
    .option('--role <name>', 'the pool that it joins, on the bus or in the fabric')
    .option('--fabric <dir>', 'is found by runners of the same user on this machine in this folder, without a broker')
    .option('--id <name>', 'its name in the fabric: under it, it is the same after a restart')
    .option('--listen <address>', 'serves at an endpoint of its own: HOST:PORT, [IPv6]:PORT or unix:PATH')
    .option(
      '--tls-cert <file>',
      'certificate of the endpoint as PEM: serve wss; read again when it changes, as its key is',
    )
    .option('--tls-key <file>', 'its key as PEM; closed to other users')
    .option('--insecure', 'listen off loopback without TLS, or use ws:// to another machine, all the same')
    .option('--data <dir>', 'the data folder of the endpoint (default: .greenroom-worker; in a fabric ID.data there)')
    .option(
      '--token-file <file>',
      'holds the token to show, read again before it expires, or to let in; closed to other users',
    )
    .option('--token-key-file <file>', 'holds keys of the signed tokens that the endpoint lets in: see broker')
    .option('--ca <file>', 'the certificate authority to trust in place of the public ones, as PEM')
    .option('--label <name=value>', 'what a role may choose it by; as often as wanted', collect, [])
    .option('--slots <count>', 'runs at a time; never more than the least `slots` of its executors')
    .option('--secret <name=file>', 'a secret of its executors; the file is closed to other users', collect, [])
    .option('--env <name>', 'an environment variable that it sees beside PATH, HOME, LANG, TZ, TMPDIR', collect, [])
    .option('--json', 'write lines of JSON in place of text')
    .action((file: string, command: WorkerCommand) => runWorker(file, command))
}

function addMailboxes(greenroom: Command): void {
  const mailboxes = withAccess(greenroom.command('mailboxes'))
    .description('Lists the mailboxes of a broker: whose they are and what is in them.')
    .action((access: OperatorAccess) => listMailboxes(access))
  withAccess(mailboxes.command('delete <address>'))
    .description('Deletes a mailbox that nobody has; what is in it returns to its senders.')
    .action((address: string, _: object, command: Command) => deleteMailbox(address, command.optsWithGlobals()))
}

function addDeadLetters(greenroom: Command): void {
  const letters = groupOf(greenroom.command('dead-letters')).description(
    'Works on messages of named mailboxes that came back too often.',
  )
  withAccess(letters.command('list [address]'))
    .description('Lists them: all, or those of one mailbox.')
    .action((address: string | undefined, access: OperatorAccess) => listDeadLetters(address, access))
  withAccess(letters.command('show <address> <id>'))
    .description('Shows one with its history and payload.')
    .action((address: string, id: string, access: OperatorAccess) => showDeadLetter(address, id, access))
  withAccess(letters.command('requeue <address> [ids...]'))
    .description('Puts them back into their mailbox, as if they had just come.')
    .option('--all', 'all of this mailbox')
    .action((address: string, ids: string[], access: LettersAccess) => requeueDeadLetters(address, ids, access))
  withAccess(letters.command('purge <address> [ids...]'))
    .description('Deletes them for good.')
    .option('--all', 'all of this mailbox')
    .action((address: string, ids: string[], access: LettersAccess) => purgeDeadLetters(address, ids, access))
}

function addCare(greenroom: Command): void {
  withAccess(greenroom.command('backup'))
    .description(
      "Backs up a broker that runs, a runner's data folder, or the data folder of a broker that does not run. A runner that has its folder in use is asked by it, but not one with a broker elsewhere (its program calls runner.backup).",
    )
    .addOption(
      new Needed('--to <file>', 'where to; with --url an absolute path on the machine of the broker, which writes it'),
    )
    .action((command: BackupCommand) => makeBackup(command))
  greenroom
    .command('restore')
    .allowExcessArguments(false)
    .description('Makes a data folder of a backup: all of it, or none.')
    .addOption(new Needed('--from <file>', 'what greenroom backup wrote'))
    .addOption(new Needed('--data <dir>', 'a folder that is empty or not there'))
    .option('--json', 'write one document of JSON')
    .action((command: RestoreCommand) => restore(command))
  greenroom
    .command('doctor')
    .allowExcessArguments(false)
    .description('Examines a data folder, in use or not, and changes nothing; ends with 1 when something is broken.')
    .addOption(new Needed('--data <dir>', 'the data folder'))
    .option('--json', 'write one document of JSON')
    .action((command: DoctorCommand) => examine(command))
}

function fail(error: unknown): void {
  if (error instanceof CommanderError && error.exitCode === 0) return
  const said = error instanceof Error ? error.message : String(error)
  const isUnhelped = error instanceof CommanderError && error.code === 'commander.help'
  const message = isUnhelped ? 'help: there is no such command (see --help)' : said
  process.stderr.write(`greenroom: ${message.replace(/^error: /, '').replaceAll(/\s+/g, ' ')}\n`)
  process.exitCode = error instanceof CommanderError || codeOf(error) === 'BAD_OPTIONS' ? 2 : 1
}

// Whoever reads what it says may go away before it does: no reason to stop.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

try {
  await program().parseAsync()
} catch (error) {
  fail(error)
}
