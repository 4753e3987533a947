import * as z from 'zod'
import type * as header from '../header.ts'
import { limits } from '../limits.ts'
import { grants } from './grant.ts'
import { presence, presenceChange } from './presence.ts'
import { count, id, ms, name, ordinal, req, words } from './primitive.ts'
import { looseObject } from './object.ts'

/** See {@link header.Hello}. */
export const hello = looseObject({
  t: z.literal('hello'),
  wire: count,
  oldest: count.exactOptional(),
  capabilities: words,
  required: words.exactOptional(),
  agent: z.string().max(256).exactOptional(),
}) satisfies z.ZodType<header.Hello>

/** Of each of a list of ids, which delivery. */
const attempts = z.array(ordinal).max(limits.heldIds)

/** See {@link header.Attach}. */
export const attach = looseObject({
  t: z.literal('attach'),
  req,
  address: name,
  incarnation: id,
  lifetime: z.enum(['incarnation', 'named']),
  credit: count,
  controlCredit: count,
  visibilityMs: z.number().min(limits.shortestVisibilityMs).max(limits.longestVisibilityMs).exactOptional(),
  held: z.array(id).max(limits.heldIds).exactOptional(),
  attempts: attempts.exactOptional(),
  again: z.boolean().exactOptional(),
  presence: presence.exactOptional(),
}) satisfies z.ZodType<header.Attach>

/** See {@link header.Send}. */
export const send = looseObject({
  t: z.literal('send'),
  req,
  to: name,
  id,
  kind: name,
  control: z.boolean().exactOptional(),
  ttlMs: ms.exactOptional(),
}) satisfies z.ZodType<header.Send>

/** See {@link header.Ack}. */
export const ack = looseObject({
  t: z.literal('ack'),
  req: req.exactOptional(),
  ids: z.array(id).max(limits.heldIds),
  attempts: attempts.exactOptional(),
}) satisfies z.ZodType<header.Ack>

/** See {@link header.Claim}. */
export const claim = looseObject({
  t: z.literal('claim'),
  req,
  id,
  attempt: ordinal.exactOptional(),
}) satisfies z.ZodType<header.Claim>

/** See {@link header.Nack}. */
export const nack = looseObject({
  t: z.literal('nack'),
  req: req.exactOptional(),
  id,
  attempt: ordinal.exactOptional(),
  delayMs: ms.exactOptional(),
}) satisfies z.ZodType<header.Nack>

/** See {@link header.Touch}. */
export const touch = looseObject({
  t: z.literal('touch'),
  req: req.exactOptional(),
  id,
  attempt: ordinal.exactOptional(),
}) satisfies z.ZodType<header.Touch>

/** See {@link header.Revoke}. */
export const revoke = looseObject({ t: z.literal('revoke'), req, to: name, id }) satisfies z.ZodType<header.Revoke>

/** See {@link header.Live}. */
export const live = looseObject({ t: z.literal('live'), to: name, kind: name }) satisfies z.ZodType<header.Live>

/** See {@link header.Announce}. */
export const announce = looseObject({ t: z.literal('announce'), presence }) satisfies z.ZodType<header.Announce>

/** See {@link header.Watch}. */
export const watch = looseObject({ t: z.literal('watch'), req, role: name }) satisfies z.ZodType<header.Watch>

/** See {@link header.Unwatch}. */
export const unwatch = looseObject({ t: z.literal('unwatch'), role: name }) satisfies z.ZodType<header.Unwatch>

/** See {@link header.Fence}. */
export const fence = looseObject({
  t: z.literal('fence'),
  req,
  address: name,
  incarnation: id,
  seenDead: z.boolean().exactOptional(),
}) satisfies z.ZodType<header.Fence>

/** See {@link header.Leave}. */
export const leave = looseObject({ t: z.literal('leave'), req }) satisfies z.ZodType<header.Leave>

/** See {@link header.Delete}. */
export const deletion = looseObject({ t: z.literal('delete'), req, address: name }) satisfies z.ZodType<header.Delete>

/** Where a list goes on. */
const cursor = z.string().max(512)

/** See {@link header.Admin}. */
export const admin = looseObject({
  t: z.literal('admin'),
  req,
  op: z.enum(['mailboxes', 'dead-letters', 'show', 'requeue', 'purge', 'backup']),
  address: name.exactOptional(),
  id: id.exactOptional(),
  path: z.string().max(4096).exactOptional(),
  after: cursor.exactOptional(),
}) satisfies z.ZodType<header.Admin>

/** See {@link header.Renew}. */
export const renew = looseObject({
  t: z.literal('renew'),
  req,
  token: z.string().max(8192),
}) satisfies z.ZodType<header.Renew>

/** See {@link header.Issue}. */
export const issue = looseObject({
  t: z.literal('issue'),
  req,
  subject: id,
  grants,
  forMs: ms.exactOptional(),
}) satisfies z.ZodType<header.Issue>

/** See {@link header.Ping}. */
export const ping = looseObject({ t: z.literal('ping') }) satisfies z.ZodType<header.Ping>

/** See {@link header.Welcome}. */
export const welcome = looseObject({
  t: z.literal('welcome'),
  wire: count,
  capabilities: words,
  broker: id,
  pingMs: ms,
  partitionGraceMs: ms,
  dedupeWindowMs: ms,
  agent: z.string().max(256).exactOptional(),
}) satisfies z.ZodType<header.Welcome>

/** See {@link header.Ok}. */
export const ok = looseObject({
  t: z.literal('ok'),
  req,
  seq: ordinal.exactOptional(),
  duplicate: z.boolean().exactOptional(),
  revoked: z.enum(['withdrawn', 'claimed', 'unknown']).exactOptional(),
  members: z.array(presenceChange).exactOptional(),
  rows: z.array(z.unknown()).exactOptional(),
  next: cursor.exactOptional(),
  token: z.string().exactOptional(),
  expiresAt: ms.exactOptional(),
}) satisfies z.ZodType<header.Ok>

/** See {@link header.ErrorFrame}. */
export const errorFrame = looseObject({
  t: z.literal('error'),
  req: req.exactOptional(),
  code: z.string(),
  message: z.string(),
}) satisfies z.ZodType<header.ErrorFrame>

/** See {@link header.Deliver}. */
export const deliver = looseObject({
  t: z.literal('deliver'),
  seq: ordinal,
  id,
  kind: name,
  from: name,
  fromIncarnation: id.exactOptional(),
  attempt: ordinal,
  control: z.boolean().exactOptional(),
  at: ms,
}) satisfies z.ZodType<header.Deliver>

/** See {@link header.LiveDeliver}. */
export const liveDeliver = looseObject({
  t: z.literal('live'),
  to: name,
  kind: name,
  from: name,
  fromIncarnation: id.exactOptional(),
}) satisfies z.ZodType<header.LiveDeliver>

/** See {@link header.PresenceFrame}. */
export const presenceFrame = looseObject({
  t: z.literal('presence'),
  change: presenceChange,
}) satisfies z.ZodType<header.PresenceFrame>

/** See {@link header.Pong}. */
export const pong = looseObject({ t: z.literal('pong') }) satisfies z.ZodType<header.Pong>

/** Every header a client may send. */
export const clientHeader = z.discriminatedUnion('t', [
  hello,
  attach,
  send,
  ack,
  claim,
  nack,
  touch,
  revoke,
  live,
  announce,
  watch,
  unwatch,
  fence,
  leave,
  deletion,
  admin,
  renew,
  issue,
  ping,
]) satisfies z.ZodType<header.ClientHeader>

/** Every header a broker may send. */
export const brokerHeader = z.discriminatedUnion('t', [
  welcome,
  ok,
  errorFrame,
  deliver,
  liveDeliver,
  presenceFrame,
  pong,
]) satisfies z.ZodType<header.BrokerHeader>
