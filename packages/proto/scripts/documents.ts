/** One value of every event, outcome and provisioning document with every field, and the vectors made of them. */
import { provisionVersion, type Limits, type Outcome, type Provision, type RunEvent, type Usage } from '../src/index.ts'
import type { Full } from './full.ts'
import { textVector, type TextVector } from './vector.ts'

const usage: Full<Usage> = { inputTokens: 1200, outputTokens: 340, costUsd: 0.0123, rounds: 4 }

/** Every event with every field. */
export const events: { [T in RunEvent['type']]: Full<Extract<RunEvent, { type: T }>> } = {
  message: { type: 'message', message: { id: 'm1', role: 'assistant', content: [{ type: 'text', text: 'done' }] } },
  'tool-call': { type: 'tool-call', id: 'c1', tool: 'git', input: { args: ['tag', 'v1'] } },
  'tool-result': { type: 'tool-result', id: 'c1', output: { code: 128, stderr: 'fatal' }, isError: true },
  data: { type: 'data', name: 'coverage', data: { lines: 0.93, files: [null, true, 'a', -1.5e-7] } },
  status: { type: 'status', status: 'testing', detail: '3 of 12 files' },
  usage: { type: 'usage', usage },
  'text-delta': { type: 'text-delta', text: 'tagging v1\n', message: 'm1' },
  'reasoning-delta': { type: 'reasoning-delta', text: 'first the tag, then…', message: 'm1' },
  'tool-output-delta': { type: 'tool-output-delta', id: 'c1', text: 'compiling\r\n', stream: 'stderr' },
  progress: { type: 'progress', done: 3, total: 12, text: 'files' },
}

const base = { eventsLost: { first: 5, last: 9 }, usage }

/** Every outcome with every field. */
export const outcomes: { [S in Outcome['status']]: Full<Extract<Outcome, { status: S }>> } = {
  completed: { status: 'completed', output: { sha: 'ab12' }, text: 'tagged v1', ...base },
  cancelled: { status: 'cancelled', reason: 'not needed any more', ...base },
  failed: {
    status: 'failed',
    code: 'WORKER_LOST',
    retry: 'later',
    message: 'the worker fell silent',
    mayStillRun: true,
    ...base,
  },
  timeout: { status: 'timeout', which: 'total', ...base },
  skipped: { status: 'skipped', why: 'the same commit was released before', ...base },
}

/** Limits, every one. */
export const limits: Full<Limits> = {
  acceptWarmMs: 10_000,
  acceptColdMs: 60_000,
  firstEventMs: 60_000,
  noProgressMs: 900_000,
  totalMs: 3_600_000,
  toolMs: 120_000,
  rounds: 20,
  tokens: 100_000,
  costUsd: 1.5,
  outputBytes: 1_048_576,
  memoryMb: 512,
}

/** A provisioning document with every field. */
export const provision: Full<Provision> = {
  version: provisionVersion,
  required: ['steer'],
  bus: {
    url: 'ws+unix:///run/greenroom/bus.sock',
    token: 'a-token',
    ca: '-----BEGIN CERTIFICATE-----\n…',
    insecure: false,
  },
  address: 'worker.w1',
  incarnation: 'Worker-incarnation-0001',
  role: 'tester',
  executors: ['echo', 'release'],
  secrets: { API_KEY: 'a-secret' },
  slots: 1,
  limits,
  cancelGraceMs: 5_000,
  partitionGraceMs: 30_000,
  idleMs: 300_000,
  lingerMs: 30_000,
  detached: true,
  resident: { labels: { gpu: 'none' }, host: 'machine-1' },
}

/** Events on their own, as the `events` message and the journal hold them. */
export function eventVectors(): TextVector[] {
  const valid = (name: string, event: RunEvent) => textVector(name, 'event', event)
  return [
    ...Object.values(events).map((event) => valid(`${event.type}: every field`, event)),
    valid('message: a text content', { type: 'message', message: { role: 'user', content: 'héllo 🎭' } }),
    valid('message: no content', { type: 'message', message: { role: 'system', content: [] } }),
    valid('message: a part of another type, with fields of its own', {
      type: 'message',
      message: { role: 'tool', content: [{ type: 'image', url: 'data:,', size: [1, 2] }] },
    }),
    valid('tool-call: required fields only', { type: 'tool-call', id: '', tool: '' }),
    valid('tool-result: required fields only', { type: 'tool-result', id: 'c1' }),
    valid('tool-result: null is an output', { type: 'tool-result', id: 'c1', output: null, isError: false }),
    valid('data: null is data', { type: 'data', name: 'nothing', data: null }),
    valid('status: required fields only', { type: 'status', status: '' }),
    valid('usage: nothing', { type: 'usage', usage: {} }),
    valid('text-delta: required fields only', { type: 'text-delta', text: '' }),
    valid('reasoning-delta: required fields only', { type: 'reasoning-delta', text: '' }),
    valid('tool-output-delta: required fields only', { type: 'tool-output-delta', id: 'c1', text: '' }),
    valid('tool-output-delta: from standard output', {
      type: 'tool-output-delta',
      id: 'c1',
      text: 'x',
      stream: 'stdout',
    }),
    valid('progress: required fields only', { type: 'progress', done: 0 }),
  ]
}

/** Outcomes, as the journal and `children-result` hold them. */
export function outcomeVectors(): TextVector[] {
  const valid = (name: string, outcome: Outcome) => textVector(name, 'outcome', outcome)
  return [
    ...Object.values(outcomes).map((outcome) => valid(`${outcome.status}: every field`, outcome)),
    valid('completed: required fields only', { status: 'completed', output: null, text: '' }),
    valid('cancelled: required fields only', { status: 'cancelled', reason: '' }),
    valid("failed: an executor's own code", { status: 'failed', code: 'DENIED', retry: 'never', message: 'timed out' }),
    ...(['accept', 'first-event', 'no-progress', 'tool'] as const).map((which) =>
      valid(`timeout: ${which}`, { status: 'timeout', which }),
    ),
    valid('skipped: required fields only', { status: 'skipped', why: '' }),
  ]
}

/** Provisioning documents. */
export function provisionVectors(): TextVector[] {
  const valid = (name: string, document: Provision) => textVector(name, 'provision', document)
  const { version, address, incarnation, role } = provision
  const least = {
    version,
    bus: { url: 'wss://broker.example/', token: 't' },
    address,
    incarnation,
    role,
    executors: [],
  }
  return [
    valid('every field', provision),
    valid('required fields only', least),
    valid('never idle', { ...least, idleMs: null }),
    valid('a plain WebSocket', { ...least, bus: { url: 'ws://127.0.0.1:4100/', token: '' } }),
  ]
}
