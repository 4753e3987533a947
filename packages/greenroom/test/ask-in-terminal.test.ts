/** Asking in a real terminal. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { inTerminal } from './terminal.ts'

const program = fileURLToPath(new URL('asking-program.ts', import.meta.url))
const node = `'${process.execPath}' --conditions=@greenroom/source '${program}'`

/** What is to be seen when these are asked. */
async function terminal(approvals: readonly object[], lines: readonly (string | null | false)[]): Promise<string> {
  return (await inTerminal(`${node} '${JSON.stringify(approvals)}'`, lines)).seen
}

test('a person sees what is to be done, and answers in a word', async () => {
  const seen = await terminal([{}, {}, {}, {}], ['y', 'session', 'what?', 'R', 'n it is friday'])
  expect(seen).toContain('releaser wants to use git (execute) on /repo')
  expect(seen).toContain('with  ["tag","v1"]')
  expect(seen).toContain('answer 0: {"allow":true,"scope":"once"}')
  expect(seen).toContain('answer 1: {"allow":true,"scope":"session"}')
  expect(seen).toContain('answer 2: {"allow":true,"scope":"run"}')
  expect(seen).toContain('answer 3: {"allow":false,"reason":"it is friday"}')
  expect(seen).toContain('done')
})

test('what a run wrote cannot pretend to be something else', async () => {
  const resource = '/repo\u001B[2K\r\u202Esafe'
  const seen = await terminal([{ resource, input: `x${'y'.repeat(5_000)}` }], ['n'])
  expect(seen).toContain(String.raw`/repo\u{1b}[2K\u{d}\u{202e}safe`)
  expect(seen).toContain('more characters)')
  expect(seen).not.toContain('\u202E')
})

test('a question that is decided meanwhile is taken back, and the next one asked', async () => {
  const seen = await terminal([{ withinMs: 1_500 }, {}], [false, 'y'])
  expect(seen).toContain('decided elsewhere')
  expect(seen).toMatch(/answer 0: "(Abort|Timeout)Error/)
  expect(seen).toContain('answer 1: {"allow":true,"scope":"once"}')
})

test('Ctrl-C at a question is what it is elsewhere', async () => {
  const { seen, code } = await inTerminal(`${node} '[{}]'`, ['\u0003'])
  expect(code).toBe(130)
  expect(seen).not.toContain('done')
})

test('a terminal that is closed, or none, denies', async () => {
  expect(await terminal([{}], [null])).toMatch(/answer 0: "GreenroomError: .*the terminal was closed/)
  const child = spawn('sh', ['-c', `${node} '[{}]'`], { stdio: ['ignore', 'pipe', 'ignore'] })
  let seen = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (seen += text))
  await new Promise((resolve) => child.once('close', resolve))
  expect(seen).toMatch(/answer 0: "GreenroomError: .*there is no terminal/)
})
