/**
 * `@greenroom/worker`: serves executors.
 *
 * - `executor` what users define · `context` what it may do while it runs · `program` programs that end with the run
 * - `serve` the worker process · `provisioning` what it is told · `platform/` its edges
 * - `worker`, `worker-loop` the loop over a mailbox · `runner-line` what it says
 * - `order` reading a run · `attempt` one execution · `ending` how it ended
 * - `approval` asking before something is done · `validate` inputs and outputs · `secret` who may see what
 * - `runner-requests` what a run asks its runner: `children`, `child-approvals` its children · `run-bridge` tools beside the runner
 * - `questions` what it is asked
 * - `steering-inbox`, `history-shelf`, `ledger` what a loop remembers
 * - `echo`, `command` executors to start with
 *
 * `@greenroom/worker/testing` is the suite that every executor passes.
 *
 * @packageDocumentation
 */
export { command, type CommandInput, type CommandOutput } from './command.ts'
export { type ApprovalAnswer, type ApprovalCall } from './approval.ts'
export type { RunContext, SteeringText } from './context.ts'
export type { ExecutorChildren } from './children.ts'
export type { ChildApproval, ChildVerdict, DecideForChildren } from './child-approvals.ts'
export type { AnswerQuestion } from './questions.ts'
export { echo } from './echo.ts'
export {
  defineExecutor,
  type Executor,
  type ExecutorDefinition,
  type Executors,
  type InferInput,
  type InferOutput,
  type RunExtras,
  type RunRequest,
  type RunResult,
  type Schema,
} from './executor.ts'
export type { Program, ProgramOptions } from './program.ts'
export type { LateBound } from '@greenroom/proto'
export { serveWorker, type ServeOptions } from './serve.ts'
export { startWorker, type Worker, type WorkerEnd, type WorkerOptions } from './worker.ts'
export type { WorkerPlatform } from './worker-platform.ts'
