/** The ledger of approvals: what those who ask, decide and look appended, outside of everything that is being tested. */
import { appendFileSync, readFileSync } from 'node:fs'
import { z } from 'zod'

/** The variable that names the ledger of the workers. */
export const ledgerName = 'CHAOS_EXECUTIONS'

/** What is asked with: by its tag one knows the question again. */
export const question = z.object({ tag: z.string(), args: z.array(z.string()) })

/** What a run is to do: ask so often, so many at a time. */
export const order = z.object({ job: z.string(), rounds: z.number(), atOnce: z.number() })
/** What a run is to do. */
export type Order = z.infer<typeof order>

const decision = z.looseObject({
  allowed: z.boolean(),
  reason: z.string(),
  decider: z.string(),
  scope: z.string(),
  input: z.unknown(),
  decidedAt: z.number(),
})
/** A decision, as the journal has it. */
export type Decision = z.infer<typeof decision>

const verdict = z.object({
  allow: z.boolean(),
  reason: z.string(),
  scope: z.enum(['once', 'run', 'session']).exactOptional(),
  input: question.exactOptional(),
})
/** What a decider of chaos says. */
export type ChaosVerdict = z.infer<typeof verdict>

/** An approval, as the journal has it in the end. */
const record = z.looseObject({
  id: z.string(),
  runId: z.string(),
  session: z.string(),
  resource: z.string(),
  input: question,
  deadline: z.number().nullable(),
  decision: decision.optional(),
})
/** An approval, as the journal has it in the end. */
export type ChaosRecord = z.infer<typeof record>

const line = z.discriminatedUnion('t', [
  /** A life of the runner begins. */
  z.object({ t: z.literal('life'), life: z.number() }),
  /** A decider is about to say something, or, with null, to fail. */
  z.object({ t: z.literal('said'), id: z.string(), decider: z.string(), verdict: verdict.nullable() }),
  /** Whoever answered by id was told this. */
  z.object({ t: z.literal('got'), id: z.string(), allow: z.boolean(), decision: decision.optional() }),
  /** An executor is about to ask. */
  z.object({ t: z.literal('ask'), job: z.string(), epoch: z.number(), tag: z.string() }),
  /** It got an answer. */
  z.object({
    t: z.literal('answer'),
    tag: z.string(),
    answer: z.object({ allowed: z.boolean(), reason: z.string(), decider: z.string(), input: question.optional() }),
  }),
  /** Its run was stopped before. */
  z.object({ t: z.literal('stopped'), tag: z.string() }),
  /** In the end: an approval. */
  z.object({ t: z.literal('record'), record }),
])
/** A line of the ledger. */
export type ApprovalLine = z.infer<typeof line>

/**
 * Appends a line, whole or not at all.
 *
 * @param file - the ledger
 * @param said - what to say
 */
export function append(file: string, said: ApprovalLine): void {
  appendFileSync(file, `${JSON.stringify(said)}\n`)
}

/** All lines; none when there is no file yet. */
export function readLines(file: string): ApprovalLine[] {
  let text = ''
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
  return text
    .split('\n')
    .filter((one) => one !== '')
    .map((one) => line.parse(JSON.parse(one)))
}
