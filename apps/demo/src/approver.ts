/** Who decides on what the historian asks for: with `--yes` a policy, at a terminal whoever sits there, else nobody. */
import { askInTerminal, type ApprovalOptions } from 'greenroom'
import type { LiveView } from './live-view.ts'

/** How long a person may take, in milliseconds; then it is denied. */
const PATIENCE = 60_000

/**
 * Whom to ask.
 *
 * @param yes - whether the command line has said yes
 * @param view - steps aside while a question stands
 */
export function approver(yes: boolean, view: LiveView): ApprovalOptions {
  if (yes) return { policy: () => ({ allow: true, reason: '--yes' }) }
  // Without a person all is denied at once.
  if (!process.stdin.isTTY || !process.stderr.isTTY) return {}
  return {
    deadlineMs: PATIENCE,
    async person(approval, options) {
      using _ = view.pause()
      return await askInTerminal(approval, options)
    },
  }
}
