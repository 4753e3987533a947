/** Who makes room, and what is said when nobody can. */
import { expect, test } from 'vitest'
import { heldByAncestors, type PlacedWorker } from '../src/placement/index.ts'
import { ResidentWorker } from '../src/placement/resident.ts'
import { makeRoom, type Neighbour, type Occupant } from '../src/room-maker.ts'

const path = ['root', 'mid', 'self']

/**
 * So many slots, and who is there; `+` can be suspended, `!` was asked to, `.` executes; `>` is a child without a worker of the one before, which
 * gets on, and `>|` one that is held up. Says the outlook, and who is asked.
 */
function room(slots: number, ...names: string[]): [string, ...string[]] {
  const asked: string[] = []
  const workers = new Set<PlacedWorker>()
  const runs = names.map((name, n): Neighbour => {
    if (name.startsWith('>'))
      return {
        id: `${n}`,
        path: [idOf(names[n - 1] ?? ''), `${n}`],
        occupant: undefined,
        isStandIn: false,
        lacks: name === '>|' ? 'local' : undefined,
      }
    const id = idOf(name)
    const parts = { kind: 'pool', host: 'h', address: id, incarnation: id, presence: { role: 'r' } } as const
    const worker = new ResidentWorker(parts)
    if (!name.startsWith('far-')) workers.add(worker)
    const waits = name.endsWith('!') ? 'leaving' : !name.endsWith('.')
    const occupant: Occupant = {
      id,
      worker,
      waits,
      isSuspendable: name.endsWith('+'),
      asks: [],
      awaits: names[n + 1]?.startsWith('>') === true ? [`${n + 1}`] : [],
      suspend: () => void asked.push(id),
    }
    return { id, path: [id], occupant, isStandIn: false, lacks: undefined }
  })
  return [makeRoom(runs, path, { kind: 'local', has: (worker) => workers.has(worker), slots }), ...asked]
}

const idOf = (name: string): string => name.replace(/[+!.]$/, '').replace('far-', '')

test('the nearest ancestor that can leaves, else whoever else can, and one at a time', () => {
  expect(room(3, 'other+', 'root+', 'mid+')).toEqual(['soon', 'mid'])
  expect(room(3, 'other+', 'root+', 'mid')).toEqual(['soon', 'root'])
  expect(room(3, 'other+', 'root', 'mid')).toEqual(['soon', 'other'])
  expect(room(3, 'other+', 'root+', 'mid!')).toEqual(['soon'])
  expect(room(2, 'far-mid+', 'root+')).toEqual(['soon', 'root'])
})

test('who executes is not asked; of an ancestor it is expected that it will wait', () => {
  expect(room(2, 'other.', 'root')).toEqual(['later'])
  expect(room(2, 'other', 'mid.')).toEqual(['soon'])
  expect(room(2, 'other', 'far-mid.')).toEqual(['later'])
})

test('where nobody can leave it says whose waiting that is', () => {
  expect(room(2, 'root', 'mid')).toEqual(['own'])
  expect(room(2, 'other', 'mid')).toEqual(['mutual'])
  expect(room(2, 'other', 'another')).toEqual(['held'])
  expect(room(2, 'other', '>', 'mid')).toEqual(['held'])
  expect(room(2, 'other', '>|', 'mid')).toEqual(['mutual'])
  expect(room(3, 'root', 'mid')).toEqual(['later'])
  expect(room(Infinity, 'root', 'mid')).toEqual(['later'])
  expect(heldByAncestors({ kind: 'local', has: () => true, slots: 2 })).toMatchObject({ code: 'POOL_HELD_BY_ANCESTOR' })
})
