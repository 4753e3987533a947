import { spawn, execFileSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { spawnGuarded } from '@greenroom/bus/process'
import { describe, expect, test, vi } from 'vitest'

const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' }
const ownerFile = fileURLToPath(new URL('./process-owner.ts', import.meta.url))
/** The design's bound for orphans is 2 s; asserted at three times that. */
const orphanBoundMs = 6_000

/** Ignores TERM, never yields, and has a child that does the same. */
const stubborn = `
  process.on('SIGTERM', () => {})
  if (process.argv[1] === 'parent') require('child_process').spawn(process.execPath, ['-e', process.execArgv[1], 'child'])
  setTimeout(() => { for (;;); }, 50)
`
const stubbornStart = { command: process.execPath, args: ['-e', stubborn, 'parent'] }

function processes(): { pid: number; ppid: number; group: number; state: string; args: string }[] {
  const text = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,pgid=,stat=,args='], { encoding: 'utf8' })
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [pid = '', ppid = '', group = '', state = '', ...args] = line.trim().split(/\s+/)
      return { pid: Number(pid), ppid: Number(ppid), group: Number(group), state, args: args.join(' ') }
    })
    .filter(({ state }) => !state.startsWith('Z'))
}

const membersOf = (group: number): number[] =>
  processes()
    .filter((one) => one.group === group)
    .map(({ pid }) => pid)

async function until(holds: () => boolean, withinMs = orphanBoundMs): Promise<number> {
  const start = performance.now()
  while (!holds()) {
    if (performance.now() - start > withinMs) throw new Error(`not within ${withinMs} ms: ${holds.toString()}`)
    await sleep(10)
  }
  return performance.now() - start
}

async function startOwner(
  starts: readonly object[],
): Promise<AsyncDisposable & { child: ChildProcess; groups: number[] }> {
  const child = spawn(process.execPath, ['--conditions=@greenroom/source', ownerFile, JSON.stringify(starts)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of createInterface(child.stdout)) {
    if (!line.startsWith('[')) continue
    const groups: number[] = JSON.parse(line)
    const dispose = async (): Promise<void> => void child.kill('SIGKILL')
    return { child, groups, [Symbol.asyncDispose]: dispose }
  }
  throw new Error('the owner ended without a word')
}

async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text
}

describe('a guarded process', () => {
  test('gets its arguments as words, its environment as given and its input, and tells its exit code', async () => {
    const script = 'cat; echo "[$1] [$2] $X ${HOME-unset}"; echo oops >&2; exit 3'
    const child = spawnGuarded({
      command: 'sh',
      args: ['-c', script, 'sh', 'a b', '$(exit 9)'],
      env: { ...env, X: 'y' },
    })
    child.stdin.end('in\n')
    expect(await Promise.all([textOf(child.stdout), textOf(child.stderr)])).toEqual([
      'in\n[a b] [$(exit 9)] y unset\n',
      'oops\n',
    ])
    expect(await child.exited).toEqual({ code: 3, signal: null })
  })

  test('that does not exist, cannot be executed or has no folder is told by COMMAND_NOT_FOUND, not thrown', async () => {
    for (const options of [
      { command: 'no-such-program' },
      { command: '/etc/passwd' },
      { command: '' },
      { command: 'true', cwd: '/no/such' },
    ]) {
      const child = spawnGuarded({ ...options, env })
      expect(child.pid).toBeUndefined()
      child.stdin.end('nobody reads this')
      expect(await textOf(child.stdout)).toBe('')
      expect(await child.exited).toMatchObject({ code: null, error: { code: 'COMMAND_NOT_FOUND' } })
    }
  })

  test.for([
    ['an argument that is too large', { args: ['x'.repeat(200_000)] }, /larger than the system allows/],
    ['a NUL character', { env: { ...env, KEY: 'secret\0value' } }, /NUL character/],
  ] as const)(
    'with %s is told by BAD_OPTIONS, quotes nothing, and leaves no guard behind',
    async ([, options, says]) => {
      const child = spawnGuarded({ command: 'true', env, ...options })
      const { error } = await child.exited
      expect(error).toMatchObject({ code: 'BAD_OPTIONS', message: expect.stringMatching(says) })
      expect(inspect(error)).not.toContain('secret')
      await until(() =>
        processes().every(({ ppid, args }) => ppid !== process.pid || !args.includes('greenroom-guard')),
      )
    },
  )

  test('that became another user’s by the time it is signalled is no error', async () => {
    const child = spawnGuarded({ command: 'sleep', args: ['308'], env })
    const kill = vi.spyOn(process, 'kill').mockImplementationOnce(() => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' })
    })
    child.kill('SIGTERM')
    kill.mockRestore()
    child.kill('SIGKILL')
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
  })

  test('that does not read its input is no error for who writes it', async () => {
    const child = spawnGuarded({ command: 'true', env })
    child.stdin.end('x'.repeat(1_000_000))
    // Else the broken pipe would be an error of this program's.
    expect(child.stdin.listenerCount('error')).toBeGreaterThan(0)
    expect(await child.exited).toEqual({ code: 0, signal: null })
  })

  test('has a guard that grants it 300 ms after TERM where nothing else is said', async () => {
    const child = spawnGuarded({ command: 'sleep', args: ['313'], env })
    const graces = processes().flatMap(({ ppid, args }) =>
      ppid === process.pid ? (/ greenroom-guard (?<grace>\S+)$/.exec(args)?.groups?.['grace'] ?? []) : [],
    )
    expect(graces.at(-1)).toBe('0.3')
    child.kill('SIGKILL')
    await child.exited
  })

  test('is signalled with all of its group', async () => {
    const child = spawnGuarded({ command: 'sh', args: ['-c', 'sleep 301 & sleep 302; true'], env })
    const group = child.pid ?? 0
    await until(() => membersOf(group).length === 3)
    child.kill('SIGKILL')
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
    await until(() => membersOf(group).length === 0)
    child.kill('SIGKILL')
  })

  test('whose program survives a signal has passed it on to its children all the same', async () => {
    const script = 'trap : TERM; sleep 309 & wait; sleep 310'
    const child = spawnGuarded({ command: 'sh', args: ['-c', script], env })
    const runs = (args: string): boolean => processes().some((one) => one.group === child.pid && one.args === args)
    await until(() => runs('sleep 309'))
    child.kill('SIGTERM')
    await until(() => runs('sleep 310'))
    expect(runs('sleep 309')).toBe(false)
    child.kill('SIGKILL')
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
  })

  test('that ends takes what it left behind with it', async () => {
    const child = spawnGuarded({ command: 'sh', args: ['-c', '(trap "" TERM; sleep 303; sleep 303) & exit 0'], env })
    expect(await child.exited).toEqual({ code: 0, signal: null })
    await until(() => membersOf(child.pid ?? 0).length === 0)
  })

  test('with a file for its outputs shows what comes there, and tells its exit code', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'greenroom-'))
    const script = 'echo one; sleep 0.3; echo two >&2; exit 3'
    const child = spawnGuarded({ command: 'sh', args: ['-c', script], env, output: join(folder.path, 'output') })
    expect(await Promise.all([textOf(child.stdout), textOf(child.stderr)])).toEqual(['', 'one\ntwo\n'])
    expect(await child.exited).toEqual({ code: 3, signal: null })
    const nowhere = spawnGuarded({ command: 'sh', env, output: join(folder.path, 'missing', 'output') })
    expect((await nowhere.exited).error).toMatchObject({ code: 'INTERNAL' })
  })

  test('leaves neither descriptors nor guards behind, fifty times in a row', async () => {
    const open = (): number => process.getActiveResourcesInfo().filter((kind) => /Pipe|Process/.test(kind)).length
    const before = open()
    const start = performance.now()
    for (let round = 0; round < 50; round += 1) {
      const child = spawnGuarded({ command: 'true', env, lifeline: true })
      child.stdout.resume()
      child.stderr.resume()
      expect((await child.exited).code).toBe(0)
    }
    console.log(`a guarded process: ${((performance.now() - start) / 50).toFixed(1)} ms from start to exit`)
    await until(
      () =>
        open() <= before && processes().every(({ ppid, args }) => ppid !== process.pid || !args.includes('greenroom-')),
    )
  })
})

describe('when the owner dies by kill -9', () => {
  test('a program that ignores TERM and never yields is gone with its children', async () => {
    await using owner = await startOwner([stubbornStart])
    const [group = 0] = owner.groups
    await until(() => membersOf(group).length === 2)
    await sleep(200)
    owner.child.kill('SIGKILL')
    console.log(`orphans gone after ${(await until(() => membersOf(group).length === 0)).toFixed(0)} ms`)
  })

  test('its guard takes no notice of signals', async () => {
    await using owner = await startOwner([{ args: ['314'] }])
    const [group = 0] = owner.groups
    const guards = processes().filter(({ ppid, args }) => ppid === owner.child.pid && args.includes('greenroom-guard'))
    expect(guards).toHaveLength(1)
    for (const { pid } of guards)
      for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.kill(pid, signal)
    owner.child.kill('SIGKILL')
    await until(() => membersOf(group).length === 0)
  })

  test('a program hears TERM first, and has as long as its guard was told', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'greenroom-'))
    const heard = join(folder.path, 'heard')
    // It tells this guard's waiting from all else that sleeps on this machine.
    const killAfterMs = 30_000 + Math.floor(Math.random() * 1_000)
    // What the shell says of the end of a sleep would go to a pipe that nobody reads any more, and end the shell.
    const script = `exec 2>/dev/null; trap 'touch "$1"' TERM; sleep 311; sleep 312; sleep 313`
    await using owner = await startOwner([{ command: 'sh', args: ['-c', script, 'sh', heard], killAfterMs }])
    const [group = 0] = owner.groups
    await until(() => membersOf(group).length === 2)
    owner.child.kill('SIGKILL')
    const waiting = (): number => processes().find(({ args }) => args === `sleep ${killAfterMs / 1_000}`)?.pid ?? 0
    await until(() => waiting() !== 0)
    await until(() => existsSync(heard) && membersOf(group).length === 2)
    process.kill(waiting(), 'SIGKILL')
    await until(() => membersOf(group).length === 0)
  })

  test('a chain of owners is gone: who was killed, the next one, and its program', async () => {
    const inner = ['--conditions=@greenroom/source', ownerFile, JSON.stringify([stubbornStart])]
    await using owner = await startOwner([
      { command: process.execPath, args: inner, lifeline: true, killAfterMs: 1_500 },
    ])
    const [next = 0] = owner.groups
    const program = (): number =>
      processes().find(({ pid, ppid, group }) => ppid === next && pid === group && membersOf(group).length === 2)
        ?.group ?? 0
    await until(() => program() !== 0)
    const last = program()
    await sleep(200)
    owner.child.kill('SIGKILL')
    const took = await until(() => membersOf(next).length === 0 && membersOf(last).length === 0)
    console.log(`a chain gone after ${took.toFixed(0)} ms`)
  })

  test('no process that it started beside keeps a guard waiting', async () => {
    await using owner = await startOwner([{ args: ['304'] }, { plain: ['sleep', '305'] }, { args: ['306'] }])
    const [first = 0, plain = 0, second = 0] = owner.groups
    owner.child.kill('SIGKILL')
    await until(() => membersOf(first).length === 0 && membersOf(second).length === 0)
    expect(membersOf(plain)).toEqual([plain])
    process.kill(plain, 'SIGKILL')
  })

  test('before its guard knows the group, or before the gate is open, the program never begins', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'greenroom-'))
    for (const moment of ['^[0-9]+\\n$', '^go\\n$']) {
      const mark = join(folder.path, 'began')
      const starts = JSON.stringify([{ command: 'sh', args: ['-c', 'touch "$1"; sleep 307', 'sh', mark] }])
      const owner = spawn(process.execPath, ['--conditions=@greenroom/source', ownerFile, starts, moment])
      expect(await once(owner, 'exit')).toEqual([null, 'SIGKILL'])
      await until(() => processes().every(({ args }) => !args.includes(mark)))
      expect(existsSync(mark)).toBe(false)
    }
  })

  test('a program with a file for its outputs goes on, and its guard ends what it leaves behind', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'greenroom-'))
    const output = join(folder.path, 'output')
    const script = `
      require('child_process').spawn('sleep', ['308'], { stdio: 'ignore' }).unref()
      for (let n = 1; n <= 10; n += 1) setTimeout(() => (console.log(String(n)), console.error('e' + n)), 100 * n)
    `
    await using owner = await startOwner([{ command: process.execPath, args: ['-e', script], output }])
    const [group = 0] = owner.groups
    await until(() => existsSync(output) && readFileSync(output, 'utf8').includes('2'))
    owner.child.kill('SIGKILL')
    await until(() => readFileSync(output, 'utf8').includes('e10'))
    await until(() => membersOf(group).length === 0)
    expect(readFileSync(output, 'utf8').split('\n').slice(0, 4)).toEqual(['1', 'e1', '2', 'e2'])
  })

  test('while it starts one program after the other none escapes', async () => {
    const marker = `${400 + Math.floor(Math.random() * 1e6)}.5`
    // It tells these guards from those of others on this machine.
    const killAfterMs = 200 + Math.random()
    const starts = Array.from({ length: 20 }, () => ({ args: [marker], killAfterMs }))
    for (let round = 0; round < 12; round += 1) {
      const owner = spawn(process.execPath, ['--conditions=@greenroom/source', ownerFile, JSON.stringify(starts)], {
        stdio: 'ignore',
      })
      await until(() => processes().some(({ args }) => args.includes(marker) && args.includes('sleep')), 15_000)
      await sleep(Math.random() * 60)
      owner.kill('SIGKILL')
      await once(owner, 'exit')
    }
    await until(() => processes().every(({ args }) => !args.includes(marker)))
    await until(() => processes().every(({ args }) => !args.includes(`greenroom-guard ${killAfterMs / 1000}`)))
  })
})
