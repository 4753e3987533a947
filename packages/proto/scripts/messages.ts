/** One value of every run-protocol message with every field, and the vectors made of them. */
import type { BridgeCall, Budget, ChildOutcome, ChildrenCall, Failure, RunKind, RunMessages } from '../src/index.ts'
import { events, limits, outcomes } from './documents.ts'
import type { Full } from './full.ts'
import { messageVector, type FrameVector } from './vector.ts'

const ref = { runId: 'run1', epoch: 1 }
const child: Full<ChildOutcome> = { runId: 'run2', key: 'first', outcome: outcomes.completed }
const failure: Full<Failure> = { code: 'EXECUTOR_ERROR', message: 'it threw', retry: 'never' }
const budget: Full<Budget> = { ms: 60_000, tokens: 1_000, usd: 0.5, spawns: 3 }
const gated = { tool: 'git', permission: 'execute', resource: '/home/ada/project', input: { args: ['tag', 'v1'] } }
const at = 1_790_000_000_000
const digest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** Every message with every field. */
export const messages: { [K in RunKind]: Full<RunMessages[K]> } = {
  history: {
    ...ref,
    part: 1,
    parts: 2,
    messages: [{ id: 'm1', role: 'user', content: [{ type: 'text', text: 'hi' }] }],
  },
  run: {
    ...ref,
    required: ['steer', 'history-parts', 'detached'],
    replyTo: 'runner.r1',
    role: 'releaser',
    executor: 'release',
    path: ['root1', 'run1'],
    depth: 1,
    task: 'Tag this commit',
    input: { tag: 'v1' },
    messages: [{ id: 'm1', role: 'user', content: [{ type: 'text', text: 'Tag this commit' }] }],
    historyParts: 2,
    workspace: '/home/ada/project',
    model: 'a-model',
    disabledTools: ['web'],
    mcpServers: [
      {
        name: 'files',
        command: 'mcp-files',
        args: ['--root', '.'],
        url: 'http://127.0.0.1:1/',
        env: { LANG: 'C' },
        headers: { accept: 'application/json' },
      },
    ],
    bridge: ['screen'],
    posture: { bypass: false, enforce: true, unattended: true, readOnly: false, nesting: true },
    limits,
    cancelGraceMs: 5_000,
    detached: false,
    resumed: [child],
    budget,
  },
  steer: { ...ref, steerId: 's1', text: 'use v2 instead', mode: 'now' },
  ask: { ...ref, askId: 'a1', question: 'how far are you?', mode: 'query' },
  unask: { ...ref, askId: 'a1' },
  'approval-decision': {
    ...ref,
    requestId: 'q1',
    allowed: true,
    reason: 'fine',
    decider: 'person',
    input: { args: ['tag', 'v2'] },
    digest: '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824',
    scope: 'once',
  },
  'approval-ask': {
    ...ref,
    requestId: 'q1',
    from: { runId: 'run2', epoch: 1 },
    path: ['run1', 'run2'],
    ...gated,
    deadline: at,
  },
  'children-result': {
    ...ref,
    requestId: 'k1',
    childId: 'run2',
    status: 'queued',
    children: [child],
    answer: 'half way',
    listed: [{ runId: 'run2', key: 'first', role: 'tester', status: 'running' }],
    error: failure,
  },
  'bridge-result': {
    ...ref,
    requestId: 'b1',
    tools: [
      {
        server: 'screen',
        name: 'shot',
        title: 'Screenshot',
        description: 'Takes a picture of the screen',
        inputSchema: { type: 'object' },
        outputSchema: { type: 'object' },
        annotations: { readOnlyHint: true },
      },
    ],
    result: { content: [{ type: 'text', text: 'done' }], structuredContent: { width: 640 }, isError: false },
    error: failure,
  },
  'spend-receipt': { ...ref, upTo: 12, left: budget },
  suspend: { ...ref, reason: 'waiting for children' },
  cancel: { ...ref, reason: 'not needed any more' },
  token: { token: 'a-newer-token', expiresAt: at },
  ack: { ...ref, upTo: 12 },
  resume: { ...ref, ack: 12 },
  'terminal-ack': { ...ref, lastSeq: 12 },
  refused: { ...ref, code: 'BUSY' },
  accepted: { ...ref, pid: 4242 },
  events: { ...ref, first: 1, events: [events['text-delta'], events.message] },
  'steer-receipt': { ...ref, steerId: 's1', status: 'delivered' },
  'ask-reply': { ...ref, askId: 'a1', answer: 'half way', error: failure },
  'approval-request': { ...ref, requestId: 'q1', afterSeq: 3, ...gated, digest, createdAt: at, deadline: at + 300_000 },
  'approval-answer': {
    ...ref,
    requestId: 'q1',
    answer: 'allow',
    reason: 'it is mine',
    input: { args: [] },
    scope: 'run',
  },
  'children-request': {
    ...ref,
    requestId: 'k1',
    op: 'spawn',
    args: { role: 'tester', task: 'test it', input: { deep: true }, key: 'first', budget },
  },
  'bridge-request': {
    ...ref,
    requestId: 'b1',
    op: 'call',
    args: { tool: { server: 'screen', name: 'shot' }, input: { window: 'editor' }, timeoutMs: 60_000 },
  },
  heartbeat: { ...ref, lastSentSeq: 12, progressSeq: 9, loopLagMs: 1.25, rssMb: 71.5, waiting: 3 },
  terminal: {
    ...ref,
    status: 'completed',
    lastSeq: 12,
    output: { sha: 'ab12' },
    text: 'tagged v1',
    usage: outcomes.completed.usage,
    reason: 'a reason',
    waitsFor: { runIds: ['run2'], mode: 'all' },
    error: failure,
    which: 'total',
    lost: { first: 5, last: 9 },
    digest,
  },
}

const kindsOf = Object.keys(messages) as RunKind[]

/** Messages, each inside the frame in which the broker hands it on. */
export function messageVectors(): FrameVector[] {
  const full = kindsOf.map((kind) => messageVector(`${kind}: every field`, kind, messages[kind]))
  return [...full, ...fromRunner(), ...fromWorker()]
}

function fromRunner(): FrameVector[] {
  const { required: _required, ...run } = messages.run
  const { replyTo, role, executor, path, depth, task, workspace } = run
  return [
    messageVector('run: required fields only', 'run', {
      ...ref,
      replyTo,
      role,
      executor,
      path,
      depth,
      task,
      workspace,
    }),
    messageVector('run: a limit of zero is zero', 'run', {
      ...run,
      limits: { rounds: 0 },
      posture: {},
      mcpServers: [{ name: 'm' }],
    }),
    messageVector('steer: for when it would end', 'steer', { ...messages.steer, mode: 'queue' }),
    messageVector('ask: into the transcript', 'ask', { ...messages.ask, mode: 'steer' }),
    messageVector('approval-decision: required fields only', 'approval-decision', {
      ...ref,
      requestId: 'q1',
      allowed: false,
      reason: 'timed out',
      decider: 'deadline',
      digest: '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824',
      scope: 'session',
    }),
    messageVector('approval-ask: required fields only', 'approval-ask', {
      ...ref,
      requestId: 'q1',
      from: ref,
      path: [],
      tool: 't',
      permission: 'p',
      resource: 'r',
    }),
    messageVector('children-result: refused', 'children-result', {
      ...ref,
      requestId: 'k1',
      error: { code: 'DEPTH_EXCEEDED', message: '' },
    }),
  ]
}

const childrenCalls: readonly ChildrenCall[] = [
  { op: 'wait', args: { runIds: ['run2'], mode: 'any' } },
  { op: 'unwait', args: { requestId: 'k1' } },
  { op: 'decide', args: { on: true } },
  { op: 'send', args: { runId: 'run2', text: 'Only on Linux', mode: 'queue' } },
  { op: 'ask', args: { runId: 'run2', question: 'how far are you?', mode: 'steer', timeoutMs: 60_000 } },
  { op: 'cancel', args: { runId: 'run2' } },
  { op: 'list', args: {} },
]

const bridgeCalls: readonly BridgeCall[] = [
  { op: 'list', args: {} },
  { op: 'cancel', args: { requestId: 'b1' } },
]

function fromWorker(): FrameVector[] {
  return [
    messageVector('refused: leaving', 'refused', { ...ref, code: 'DRAINING' }),
    messageVector('accepted: required fields only', 'accepted', ref),
    messageVector('events: one of every known type', 'events', { ...ref, first: 100, events: Object.values(events) }),
    messageVector('steer-receipt: waits', 'steer-receipt', { ...ref, steerId: 's1', status: 'queued' }),
    messageVector('steer-receipt: too late', 'steer-receipt', { ...ref, steerId: 's1', status: 'not-live' }),
    messageVector('ask-reply: required fields only', 'ask-reply', { ...ref, askId: 'a1' }),
    messageVector('approval-answer: hands on', 'approval-answer', { ...ref, requestId: 'q1', answer: 'pass' }),
    ...childrenCalls.map((call) =>
      messageVector(`children-request: ${call.op}`, 'children-request', { ...ref, requestId: 'k2', ...call }),
    ),
    ...bridgeCalls.map((call) =>
      messageVector(`bridge-request: ${call.op}`, 'bridge-request', { ...ref, requestId: 'b2', ...call }),
    ),
    messageVector('terminal: completed with nothing', 'terminal', { ...ref, status: 'completed', lastSeq: 0 }),
    messageVector('terminal: cancelled', 'terminal', {
      ...ref,
      status: 'cancelled',
      lastSeq: 3,
      reason: 'not needed any more',
    }),
    messageVector('terminal: failed', 'terminal', { ...ref, status: 'failed', lastSeq: 3, error: failure }),
    messageVector('terminal: timed out', 'terminal', { ...ref, status: 'timeout', lastSeq: 3, which: 'no-progress' }),
    messageVector('terminal: suspended', 'terminal', {
      ...ref,
      status: 'suspended',
      lastSeq: 3,
      reason: 'waiting for children',
    }),
  ]
}
