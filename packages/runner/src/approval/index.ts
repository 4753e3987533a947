/**
 * `approval/`: who decides on what runs ask for.
 *
 * - `arbiter` the only one who decides · `route` the way through the deciders · `approval-journal` what is recorded
 * - `handler` approvals over HTTP · `composite-approvals` those of several runners
 * - `approval` what deciders, people and callers see · `watchers` whoever watches
 */
export { Arbiter } from './arbiter.ts'
export { CompositeApprovals } from './composite-approvals.ts'
export {
  createApprovalHandler,
  type Answerer,
  type ApprovalSubject,
  type HandlerOptions,
  type MayAnswer,
} from './handler.ts'
export { isVerdict } from './route.ts'
export { ApprovalJournal, approvalCollections } from './approval-journal.ts'
export type {
  AnswerOptions,
  Approval,
  ApprovalDecided,
  ApprovalFilter,
  ApprovalOptions,
  ApprovalRecord,
  Ask,
  Decide,
  DecideOptions,
  Grant,
  Review,
  RunnerApprovals,
  Verdict,
} from './approval.ts'
