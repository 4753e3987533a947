import type { Aim, Generation } from '../src/world.ts'

/**
 * The bugs that the simulator found, by the seeds that found them, each with the generation of what was drawn then: so it
 * keeps its schedule when there is more to draw. Each bug also has a test of its own where it was.
 */
export const regressions: readonly {
  readonly seed: number
  readonly generation: Generation
  readonly aim?: Aim
  readonly was: string
}[] = [
  { seed: 332, generation: 1, was: 'an ack that a full disk refused was lost: its message stayed held for ever' },
  { seed: 404, generation: 1, was: 'an ack that a full disk refused was lost: its message stayed held for ever' },
  {
    seed: 510,
    generation: 1,
    was: 'a worker forgot its events while the broker was down, and its runner asked for them without end',
  },
  {
    seed: 21_697,
    generation: 1,
    was: 'a worker forgot its events while its runner was away twice, each time within the grace',
  },
  { seed: 1842, generation: 1, was: 'the same, and all runs behind it waited for its permit' },
  {
    seed: 187,
    generation: 2,
    was: 'a run that was cancelled before a slow session store had its task was open again, and executed by the next life',
  },
  {
    seed: 24,
    generation: 2,
    was: 'a full disk at the broker made a run unknown whose last word was there',
  },
  { seed: 245, generation: 3, was: 'a nack that was repeated over a new connection counted twice' },
  {
    seed: 1397,
    generation: 3,
    was: 'a run was executed again when the machine had slept for two days: the broker had forgotten its claim',
  },
  {
    seed: 109,
    generation: 3,
    was: 'a text that came too late was in the session twice, when that had not answered in time',
  },
  {
    seed: 90,
    generation: 3,
    was: 'a cancelled run whose begin was in doubt was not told to a session store elsewhere',
  },
  { seed: 404, generation: 4, was: 'an ack that was not answered for half a day was given up, and its message held' },
  { seed: 556, generation: 4, was: 'the same in a queue, behind which nothing came any more' },
  {
    seed: 3001,
    generation: 4,
    was: 'a last word was at hand, and the run unknown: the marker that it waited for was given up during a sleep',
  },
  { seed: 3507, generation: 4, was: 'the same, while its assignment was being withdrawn' },
  {
    seed: 3184,
    generation: 4,
    was: 'a letter was purged, and its message came again: a crash had cut its requeueing off',
  },
  {
    seed: 4180,
    generation: 4,
    was: 'a text that came too late was in a session elsewhere twice: given again by the next life, after another attempt',
  },
  {
    seed: 4362,
    generation: 4,
    was: 'what was for a dead worker waited for ever: its fence was given up during a sleep of two days',
  },
  {
    seed: 5865,
    generation: 5,
    was: 'a last word was at hand, and the run lost: it came when the bus had given its worker up, and its process was looked for',
  },
  {
    seed: 3,
    generation: 6,
    aim: 'approvals',
    was: 'an approval that was decided when its worker died with its runner was never over, and the run did not end',
  },
  {
    seed: 587,
    generation: 6,
    aim: 'approvals',
    was: 'an attempt ended before the disk had taken what it asked: there was a decision on nothing',
  },
  {
    seed: 1471,
    generation: 6,
    aim: 'approvals',
    was: 'what a worker had asked that died with its runner was put to people by the next life',
  },
  {
    seed: 2569,
    generation: 6,
    aim: 'approvals',
    was: 'a letter was listed as dead whose message had been delivered: the disk was full at the second half of its requeueing',
  },
  {
    seed: 2138,
    generation: 6,
    aim: 'approvals',
    was: 'a text that came too late took the place of a message in a session elsewhere: its runner died, and the run was done after it',
  },
  {
    seed: 3583,
    generation: 7,
    was: 'a last word that an earlier life had kept came once more when its run was taken over, and stayed at the bus',
  },
  {
    seed: 6508,
    generation: 7,
    was: 'a run whose last word was that it waits for its children was cancelled in the next life, and ended as a defect',
  },
  {
    seed: 28,
    generation: 7,
    aim: 'children',
    was: 'a parent that was asked to suspend itself while it waited for several things held its worker, and its children, for ever',
  },
  {
    seed: 29,
    generation: 7,
    aim: 'children',
    was: 'a suspended parent was taken for one that executes: its descendants waited for its place, which others had',
  },
]
