/**
 * The zod schemas of everything on the wire, for those who want zod; `@greenroom/proto` itself shows no zod type, so
 * its users are not tied to our version. The same as JSON Schema: `@greenroom/proto/schemas/*.json`.
 *
 * @packageDocumentation
 */
export * from './event.ts'
export { grants, tokenClaims } from './grant.ts'
export * from './header.ts'
export * as runProtocol from './message.ts'
export { runMessages } from './message.ts'
export { deadLetter, mailboxState } from './operator.ts'
export { outcome, usage, eventRange } from './outcome.ts'
export { presence, presenceChange } from './presence.ts'
export { busAddress, provision } from './provision.ts'
export { failure } from './run-ref.ts'
