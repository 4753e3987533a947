/** Reading the provisioning document. */
import { GreenroomError, parseProvision, type Provision } from '@greenroom/proto'
import type { Executors } from './executor.ts'

/**
 * Checks a provisioning document against what this worker has.
 *
 * @param text - what stood on standard input
 * @param executors - what the worker can do
 * @throws GreenroomError `SPEC_INVALID`, `SPEC_TOO_NEW`, `UNKNOWN_EXECUTOR`
 */
export function readProvision(text: string, executors: Executors): Provision {
  const provision = parseProvision(parse(text))
  // Whoever starts a resident knows its file only, not what is in it.
  if (provision.resident !== undefined) return { ...provision, executors: Object.keys(executors) }
  const unknown = provision.executors.find((name) => !Object.hasOwn(executors, name))
  if (unknown === undefined) return provision
  const known = Object.keys(executors).join(', ')
  throw new GreenroomError('UNKNOWN_EXECUTOR', `no executor "${unknown}"; there are: ${known}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own words quote the document, and that holds secrets.
    throw new GreenroomError('SPEC_INVALID', 'the provisioning document is not JSON')
  }
}
