/** The keys of the runner's tables: what belongs together stands together, in its order. */
import type { RunRef } from '@greenroom/proto'

/** A number in a key: texts are ordered as their numbers. */
export const sixDigits = (number: number): string => String(number).padStart(6, '0')

/** Of what belongs to an attempt. */
export const epochKey = ({ runId, epoch }: RunRef): string => `${runId}/${sixDigits(epoch)}`
