/** What is asked in the trees of one schedule, and who decides for its descendants: drawn beside the rest, which stays as it was. */
import type { Chance } from './chance.ts'
import { asking } from './questions.ts'
import { spawnIn } from './trees.ts'
import type { Act, Answering, Inquiry, Job, Workload } from './workload.ts'

/** How to draw it. */
export interface TalkOptions {
  /** Whether surely. */
  readonly isAimed: boolean
  /** Whether runs ask for approvals. */
  readonly isAsking: boolean
}

/**
 * Lets runs be asked, by their parents and by the program, and lets children ask for approvals, on which ancestors decide.
 *
 * @returns undefined when nobody says anything
 */
export function drawTalk(chance: Chance, workload: Workload, { isAimed, isAsking }: TalkOptions): Workload | undefined {
  const isTalking = chance.happens(0.5) || isAimed
  if (!isTalking) return undefined
  const { jobs, children } = workload
  const talking = (job: Job): Job => deciding(chance, inquiring(chance, answering(chance, job)), isAsking)
  const ofChild = (child: Job): Job => {
    const asks = chance.happens(0.4) && isAsking
    const said = talking(child)
    return asks ? asking(chance, said) : said
  }
  return {
    ...workload,
    jobs: jobs.map((job) => ({ ...talking(job), inquiries: drawInquiries(chance, job) })),
    ...(children && { children: children.map(ofChild) }),
  }
}

function answering(chance: Chance, job: Job): Job {
  const answers = chance.one<Answering | undefined>(['at once', 'at once', 'late', 'late', 'fails', 'never', undefined])
  return answers === undefined ? job : { ...job, answers }
}

/** The same job, which asks children that it has started. */
function inquiring(chance: Chance, job: Job): Job {
  const acts = [...job.acts]
  for (const { children } of job.acts.flatMap(spawnIn)) {
    const first = acts.findIndex((act) => spawnIn(act).some((spawn) => spawn.children === children))
    for (let left = chance.one([0, 1, 1, 2]); left > 0; left -= 1) {
      const place = first + 1 + chance.below(acts.length - first)
      const ask = { do: 'ask', child: chance.oneOf(children) ?? 0, ...drawInquiry(chance) } as const
      acts.splice(place, 0, { family: { ...ask, isAwaited: chance.happens(0.7) } } satisfies Act)
    }
  }
  return { ...job, acts }
}

function deciding(chance: Chance, job: Job, isAsking: boolean): Job {
  const decides = chance.happens(0.5) && isAsking && job.acts.some((act) => spawnIn(act).length > 0)
  return decides ? { ...job, decides } : job
}

/** What the program asks about a job: while it is at work, or after. */
function drawInquiries(chance: Chance, { atMs }: Job): readonly (Inquiry & { readonly atMs: number })[] {
  return Array.from({ length: chance.one([0, 0, 1, 2]) }, () => ({
    atMs: atMs + chance.below(chance.one([50, 5_000, 60_000])),
    ...drawInquiry(chance),
  }))
}

function drawInquiry(chance: Chance): Inquiry {
  return { mode: chance.one(['query', 'query', 'steer']), withinMs: chance.one([100, 500, 5_000, 60_000]) }
}
