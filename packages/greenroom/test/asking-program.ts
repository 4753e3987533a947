/** Asks in the terminal for each approval that its arguments, as JSON, describe; says what was answered. */
import { askInTerminal, type Approval } from 'greenroom'

const approvals: readonly (Partial<Approval> & { readonly withinMs?: number })[] = JSON.parse(process.argv[2] ?? '[]')
await Promise.all(
  approvals.map(async ({ withinMs = 60_000, ...given }, at) => {
    const approval: Approval = {
      id: `a${at}`,
      runId: 'r',
      epoch: 1,
      path: ['r'],
      role: 'releaser',
      session: 's',
      workspace: '/repo',
      tool: 'git',
      permission: 'execute',
      resource: '/repo',
      input: ['tag', 'v1'],
      digest: '',
      afterSeq: 0,
      createdAt: 0,
      deadline: null,
      ...given,
    }
    const answer = await askInTerminal(approval, { signal: AbortSignal.timeout(withinMs) }).catch((error: unknown) =>
      String(error),
    )
    console.log(`answer ${at}: ${JSON.stringify(answer)}`)
  }),
)
console.log('done')
