/** Broken promises about what runs are asked, and what their ancestors say. */
import { decodeMessage, encodeMessage, type Bus } from '@greenroom/proto'
import { sending } from './broken-bus.ts'
import type { Mutation } from './mutations.ts'

/** All of them. */
export const talkMutations: readonly Mutation[] = [
  {
    name: 'crossed-answers',
    says: 'a question is answered as the one before',
    isOfTalk: true,
    bus: (bus, who) => (who === 'worker' ? crossing(bus) : bus),
  },
  {
    name: 'stale-questions',
    says: 'a question is asked after its time, and though nobody waits any more',
    isOfTalk: true,
    bus: (bus, who) => (who === 'runner' ? undying(bus) : bus),
  },
  {
    name: 'pass-allows',
    says: 'an ancestor that hands on allows',
    isOfTalk: true,
    bus: (bus, who) => (who === 'worker' ? allowing(bus) : bus),
  },
  {
    name: 'false-ends',
    says: 'a parent that was answered hears that the run has ended without an answer',
    isOfTalk: true,
    bus: (bus, who) => (who === 'runner' ? denying(bus) : bus),
  },
]

function crossing(bus: Bus): Bus {
  let last: string | undefined
  return sending(bus, (send) => (message, waiting) => {
    if (message.kind !== 'ask-reply') return send(message, waiting)
    const reply = decodeMessage('ask-reply', message.payload)
    const answer = last ?? reply.answer
    last = reply.answer
    if (reply.answer === undefined || answer === undefined) return send(message, waiting)
    return send({ ...message, payload: encodeMessage('ask-reply', { ...reply, answer }) }, waiting)
  })
}

function undying(bus: Bus): Bus {
  return sending(bus, (send) => (message, waiting) => {
    if (message.kind === 'unask') return new Promise(() => undefined)
    const { ttlMs: _ttlMs, ...timeless } = message
    return send(message.kind === 'ask' ? timeless : message, waiting)
  })
}

function allowing(bus: Bus): Bus {
  return sending(bus, (send) => (message, waiting) => {
    if (message.kind !== 'approval-answer') return send(message, waiting)
    const said = decodeMessage('approval-answer', message.payload)
    const answer = said.answer === 'pass' ? 'allow' : said.answer
    return send({ ...message, payload: encodeMessage('approval-answer', { ...said, answer }) }, waiting)
  })
}

function denying(bus: Bus): Bus {
  return sending(bus, (send) => (message, waiting) => {
    if (message.kind !== 'children-result') return send(message, waiting)
    const { answer, ...result } = decodeMessage('children-result', message.payload)
    if (answer === undefined) return send(message, waiting)
    const error = { code: 'ASK_UNANSWERED', message: 'the run has ended', retry: 'later' } as const
    return send({ ...message, payload: encodeMessage('children-result', { ...result, error }) }, waiting)
  })
}
