import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtempDisposable, realpath, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createManualClock } from '@greenroom/bus/testing'
import type { JsonValue } from '@greenroom/proto'
import { command } from '@greenroom/worker'
import { expect, test } from 'vitest'
import { openBench } from '../src/testing/bench.ts'

const openCommand = () => openBench({ command })
const shell = (script: string, more: Record<string, JsonValue> = {}) => ({
  executor: 'command',
  input: { program: 'sh', args: ['-c', script], ...more },
})

test('a program runs between its tool-call and its tool-result, with input, environment and folder', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'greenroom-'))
  await writeFile(join(folder.path, 'here.txt'), 'found')
  await using bench = await openCommand()
  const script = 'cat here.txt; cat; echo "$X" >&2'
  const run = await bench.run({ ...shell(script, { stdin: ' it', env: { X: 'y' } }), workspace: folder.path })
  expect(await run.terminal).toMatchObject({
    status: 'completed',
    output: { exitCode: 0, stdout: 'found it', stderr: 'y\n' },
  })
  expect(run.events[0]).toEqual({
    type: 'tool-call',
    id: 'command',
    tool: 'sh',
    input: { args: ['-c', script], cwd: folder.path },
  })
  expect(run.events.at(-1)).toEqual({
    type: 'tool-result',
    id: 'command',
    output: { exitCode: 0, signal: null },
    isError: false,
  })
})

test('a relative folder is one of the workspace', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'greenroom-'))
  await mkdir(join(folder.path, 'inside'))
  await using bench = await openCommand()
  const run = await bench.run({ ...shell('pwd -P', { cwd: 'inside' }), workspace: folder.path })
  expect(await run.terminal).toMatchObject({ output: { stdout: `${await realpath(folder.path)}/inside\n` } })
})

test('git, a real program, works in the workspace', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'greenroom-'))
  execFileSync('git', ['init', '-q', folder.path])
  await using bench = await openCommand()
  const run = await bench.run({
    executor: 'command',
    workspace: folder.path,
    input: { program: 'git', args: ['status', '--porcelain=v2', '--branch'] },
  })
  expect(await run.terminal).toMatchObject({
    status: 'completed',
    output: { stdout: expect.stringContaining('# branch.oid (initial)') },
  })
})

test.for([
  [
    'another exit code',
    shell('echo one; for i in 1 2 3 4 5 6 7 8 9 10 11; do echo "e$i" >&2; done; exit 3'),
    'COMMAND_FAILED',
    /^sh ended with code 3: e2\ne3\n[^]*e11$/,
  ],
  ['a signal', shell('kill -KILL $$'), 'COMMAND_FAILED', /^sh was ended by SIGKILL$/],
  [
    'no such program',
    { executor: 'command', input: { program: 'no-such-program' } },
    'COMMAND_NOT_FOUND',
    /no-such-program/,
  ],
  ['no such folder', shell('true', { cwd: '/no/such' }), 'COMMAND_NOT_FOUND', /\/no\/such/],
  ['an invalid input', { executor: 'command', input: { args: [] } }, 'INPUT_INVALID', /input\.program/],
] as const)('%s is a failure with its reason', async ([, spec, code, message]) => {
  await using bench = await openCommand()
  const run = await bench.run(spec)
  const { error } = await run.terminal
  expect(run.events.filter(({ type }) => type === 'tool-result').every(({ isError }) => isError === true)).toBe(true)
  expect(error?.code).toBe(code)
  expect(error?.message).toMatch(message)
})

test('an exit code that was named is no failure', async () => {
  await using bench = await openCommand()
  const run = await bench.run(shell('exit 1', { okCodes: [0, 1] }))
  expect(await run.terminal).toMatchObject({ status: 'completed', output: { exitCode: 1 } })
  expect(run.events.at(-1)).toMatchObject({ type: 'tool-result', output: { exitCode: 1 }, isError: false })
})

test('a character that is cut in two by a write arrives whole', async () => {
  await using bench = await openCommand()
  const run = await bench.run(
    shell(String.raw`printf 'gr\303'; sleep 0.2; printf '\274n \360\237'; sleep 0.2; printf '\214\261'`),
  )
  expect(await run.terminal).toMatchObject({ output: { stdout: 'grün 🌱' } })
  expect(
    run.events
      .filter(({ type }) => type === 'tool-output-delta')
      .map((event) => event['text'])
      .join(''),
  ).toBe('grün 🌱')
})

test('what is kept of a long output begins with a whole character', async () => {
  await using bench = await openCommand()
  const run = await bench.run(shell(String.raw`yes "$(printf '\360\237\214\261')" | head -c 400000; printf xy`))
  const { output } = await run.terminal
  // The cut is within the first one.
  expect(output).toEqual({ exitCode: 0, stdout: `\n${'🌱\n'.repeat(21_844)}xy`, stderr: '' })
})

test('a full window stops the program until its reader goes on, and nothing is lost', async () => {
  await using bench = await openCommand()
  await using folder = await mkdtempDisposable(join(tmpdir(), 'greenroom-'))
  const written = join(folder.path, 'written')
  const lines = 400_000
  const run = await bench.run(shell(`seq 1 ${lines}; touch ${written}; echo finished >&2`), { reading: false })
  let before = -1
  while (run.events.length !== before) {
    before = run.events.length
    await sleep(200)
  }
  const told = (stream: string): string =>
    run.events
      .filter((event) => event['stream'] === stream)
      .map((event) => event['text'])
      .join('')
  expect(told('stdout').length).toBeLessThan(1.5 * 1024 * 1024)
  expect([told('stderr'), existsSync(written)]).toEqual(['', false])
  run.read()
  expect(await run.terminal).toMatchObject({ status: 'completed' })
  expect(told('stdout')).toBe(Array.from({ length: lines }, (_, at) => `${at + 1}\n`).join(''))
  expect(told('stderr')).toBe('finished\n')
})

test('a cancel ends the program with all that it started', async () => {
  await using bench = await openCommand()
  const run = await bench.run(
    shell('(trap "" TERM; sleep 311; sleep 311) & trap "" TERM; echo up; sleep 311; sleep 311'),
  )
  await run.seen(2)
  await run.cancel('stop')
  expect(await run.terminal).toMatchObject({ status: 'cancelled', reason: 'stop' })
  const group = bench.programs[0]?.pid
  const groups = () =>
    execFileSync('ps', ['-A', '-o', 'pgid=,stat='], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => !line.includes('Z'))
  while (groups().some((line) => Number.parseInt(line) === group)) await sleep(20)
})

test('a program is asked to end before it is killed: when it does, its run was cancelled', async () => {
  // Its clock stands still: nothing is killed.
  await using bench = await openBench({ command }, { clock: createManualClock() })
  const run = await bench.run(shell('trap "exit 7" TERM; echo up; while :; do sleep 0.05; done'))
  await run.seen(2)
  await run.cancel('stop')
  expect(await run.terminal).toMatchObject({ status: 'cancelled', reason: 'stop' })
  expect(await bench.programs[0]?.exited).toMatchObject({ code: 7, signal: null })
})
