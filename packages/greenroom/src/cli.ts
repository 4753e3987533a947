#!/usr/bin/env node
/**
 * The `greenroom` command.
 *
 * Exit code: 0 when it did what it was asked to, 2 for bad arguments, 1 for everything else that went wrong; either is
 * explained in one line on standard error.
 */
import { Command, CommanderError } from 'commander'
import { codeOf } from '@greenroom/proto'
import { runBroker, type BrokerCommand } from './broker-command.ts'
import { readVersion } from './platform/version.ts'

function program(): Command {
  const greenroom = new Command('greenroom')
    .description('AI sub-agents as isolated, warm, supervised processes over a durable bus.')
    .version(readVersion())
    .configureOutput({ writeErr: () => {} })
    .showSuggestionAfterError(false)
    .exitOverride()
    .allowExcessArguments()
    .action(() => {
      const [name] = greenroom.args
      greenroom.error(
        `${name === undefined ? 'which command?' : `no command "${name}".`} There is: broker (see --help)`,
      )
    })
  greenroom
    .command('broker')
    .allowExcessArguments(false)
    .description('Runs a broker until SIGTERM: the first drains it, another one closes it at once.')
    .requiredOption('--data <dir>', 'the data folder; only one live broker may have it')
    .requiredOption('--listen <address>', 'HOST:PORT (port 0: any that is free), [IPv6]:PORT or unix:PATH')
    .requiredOption('--token-file <file>', 'holds the bearer token that clients show; closed to other users')
    .option('--cert <file>', 'certificate as PEM: serve wss')
    .option('--key <file>', 'its key as PEM; closed to other users')
    .option('--insecure', 'listen off loopback without TLS all the same')
    .option('--json', 'write lines of JSON in place of text')
    .action((options: BrokerCommand) => runBroker(options))
  return greenroom
}

function fail(error: unknown): void {
  if (error instanceof CommanderError && error.exitCode === 0) return
  const message = error instanceof Error ? error.message : String(error)
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
