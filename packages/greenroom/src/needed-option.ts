/** Options that a command cannot do without. Commander's own are asked for before a misspelt one is named. */
import { Option, type Command } from 'commander'

/** One of them: as `Option`. */
export class Needed extends Option {}

/**
 * Ends a command that was not given all it needs; to be called before its action.
 *
 * @param command - as it was parsed
 * @throws CommanderError
 */
export function checkNeeded(command: Command): void {
  const missing = command.options.find(
    (option) => option instanceof Needed && command.getOptionValue(option.attributeName()) === undefined,
  )
  if (missing !== undefined) command.error(`required option '${missing.flags}' not specified`)
}
