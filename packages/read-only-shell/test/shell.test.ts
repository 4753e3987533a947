/** The door: verdicts, reasons, rules of one's own, bounds. */
import { describe, expect, it } from 'vitest'
import { createReadOnlyShell, maxCommandLength, type CommandRule, type Verdict } from '../src/index.ts'

const shell = createReadOnlyShell()
const allowed = (command: string): Verdict => ({ allowed: true, command })
const refused = (reason: string, at?: number): Verdict => ({
  allowed: false,
  reason,
  ...(at === undefined ? {} : { at }),
})

describe('what is run is written anew', () => {
  it.each([
    ['ls   -la   src', 'ls -la src'],
    [`cat "a b" 'c d' e\\ f`, `cat 'a b' 'c d' 'e f'`],
    [`echo "it's" 'a"b'`, `echo 'it'\\''s' 'a"b'`],
    ['ls *', 'ls ./*'],
    ['ls src/*.ts [a-c]?', 'ls src/*.ts ./[a-c]?'],
    ['ls "a b"*', `ls 'a b'*`],
    ['ls ~ ~/x $HOME "${PWD}/y"', 'ls "$HOME" "$HOME"/x "$HOME" "$PWD"/y'],
    ['ls&&pwd||true;pwd', 'ls && pwd || true; pwd'],
    ['! ls|wc 2>&1 >/dev/null', '! ls | wc 2>&1 >/dev/null'],
    ['(cd a;ls) <b', '( cd a; ls ) <b'],
    ['{ ls; } 2>/dev/null', '{ ls; } 2>/dev/null'],
    ['ls # nothing\n\npwd', 'ls; pwd'],
    ["grep '' a", "grep '' a"],
    ['[ -f a ]', '[ -f a ]'],
    ['rg x', 'rg --no-config x'],
    ['grep -r x --include=*.ts a', `grep -r x '--include=*.ts' a`],
  ])('%s', (text, command) => {
    expect(shell.check(text)).toEqual(allowed(command))
  })

  it('with what makes git safe, before and behind the subcommand', () => {
    const verdict = shell.check('git -C a log -1')
    const program = String.raw`GIT_ALLOW_PROTOCOL= GIT_NO_LAZY_FETCH=1 git --no-pager --no-optional-locks( -c [a-zA-Z0-9.]+=\S+)+`
    expect(verdict).toEqual(
      allowed(expect.stringMatching(new RegExp(`^${program} -C a log --no-ext-diff --no-textconv -1$`))),
    )
  })
})

describe('a refusal says which word, why and where', () => {
  it.each<[string, string, number?]>([
    ['ls; rm a', 'rm is not on the allowlist of commands', 4],
    ['sort -o x a', 'sort: option -o is not on the allowlist', 5],
    ['sort -ro x a', 'sort: option -o (in -ro) is not on the allowlist', 5],
    ['git push', 'git: push is not on the allowlist', 4],
    ['git log --outp=x', 'git log: option --outp is not on the allowlist', 8],
    ['git branch new', 'git branch: a name would create a branch: use --list', 11],
    ['find . -delete', 'find: -delete is not on the allowlist', 5],
    ['cat $X', '$X: what a variable holds is not known', 4],
    ['cat `id`', '`id`: a command substitution runs another command', 4],
    ['A=1 ls', 'A=1: nothing may stand before a command', 0],
    ['ls > x', '> x: only 2>&1, >/dev/null and <FILE are on the allowlist', 3],
    ['ls &', '& leaves a command running in the background', 4],
    ['uniq a b', 'uniq: a is one operand too many', 5],
    ['grep *', 'grep: ./* is a pattern: quote it', 5],
    ['head -n', 'head: -n needs a value', 5],
    ['ls\u00A0x', 'a control character or a blank that is no space (U+00A0)', 2],
    ['ls é', 'é: a character that is not ASCII must be quoted', 3],
    ['cat /proc/1/environ', 'cat: /proc/1/environ leads to the system’s own files (/proc, /sys, /dev)', 4],
    ['cd a && cd', 'cd: needs an operand', 8],
    ['', 'no command'],
  ])('%s', (text, reason, at) => {
    expect(shell.check(text)).toEqual(refused(reason, at))
  })
})

describe('rules of one’s own', () => {
  const check = (commands: Record<string, CommandRule | null>, text: string): Verdict =>
    createReadOnlyShell({ commands }).check(text)

  it('add a command by its form', () => {
    const cargo: CommandRule = {
      options: '-q',
      environment: { CARGO_NET_OFFLINE: 'true' },
      add: ['--locked'],
      subcommands: { tree: { options: '-i= --depth=', operands: { max: 1 } } },
    }
    expect(check({ cargo }, 'cargo -q tree --depth 2')).toEqual(
      allowed('CARGO_NET_OFFLINE=true cargo --locked -q tree --depth 2'),
    )
    expect(check({ cargo }, 'cargo build')).toEqual(refused('cargo: build is not on the allowlist', 6))
    expect(check({ cargo }, 'cargo tree a b')).toEqual(refused('cargo tree: b is one operand too many', 13))
  })

  it('add a command by a check of its words', () => {
    const make: CommandRule = (words) => (words[0]?.value === '-n' ? undefined : 'only make -n')
    expect(check({ make }, 'make -n "a b"')).toEqual(allowed("make -n 'a b'"))
    expect(check({ make }, 'make all')).toEqual(refused('make: only make -n', 5))
  })

  it('replace a rule, or take a command off', () => {
    expect(check({ ls: { options: '-1' } }, 'ls -l')).toEqual(refused('ls: option -l is not on the allowlist', 3))
    expect(check({ ls: null }, 'ls')).toEqual(refused('ls is not on the allowlist of commands', 0))
  })

  it('that throw refuse', () => {
    const broken: CommandRule = () => {
      throw new Error('broken')
    }
    expect(check({ broken }, 'broken')).toEqual(refused('broken'))
  })

  it('that are malformed are refused when they are given', () => {
    for (const name of ['if', 'a b', './a', 'a;b', '', '-x', 'A=1']) {
      expect(() => createReadOnlyShell({ commands: { [name]: {} } }), name).toThrow(TypeError)
    }
    for (const options of ['n', '-nn', '-n==', '--a[=', '--A', '-n=file']) {
      expect(() => createReadOnlyShell({ commands: { x: { options } } }), options).toThrow(TypeError)
    }
  })

  it('do not reach into the prototype', () => {
    for (const text of ['constructor', 'toString', '__proto__', 'git constructor', 'hasOwnProperty x']) {
      expect(shell.check(text)).toMatchObject({ allowed: false })
    }
  })
})

describe('bounds', () => {
  it('refuses what is too long, or nested too deeply', () => {
    const fits = `echo ${'a'.repeat(maxCommandLength - 5)}`
    expect(shell.check(fits)).toEqual(allowed(fits))
    expect(shell.check(`${fits}a`)).toEqual(refused(`longer than ${maxCommandLength} characters`))
    const nested = (depth: number): string => `${'( '.repeat(depth)}ls${' )'.repeat(depth)}`
    expect(shell.check(nested(8))).toEqual(allowed(nested(8)))
    expect(shell.check(nested(9))).toEqual(refused('groups are nested too deeply', 18))
    expect(shell.check(nested(900))).toMatchObject({ allowed: false })
  })

  it('takes no longer than its bound allows, whatever is in it', () => {
    const parts = [
      '$(',
      '`',
      '{',
      '((',
      '[[ ',
      'a|',
      '<<a\n',
      '${a:-',
      '$((',
      '!(',
      '{a,',
      '"$(',
      "'",
      '*',
      'ls *;',
      '\\\n',
      '# ',
      'sed -n /a/,',
    ]
    const texts = parts.flatMap((part) =>
      ['', 'ls ', 'echo "'].map((head) => (head + part.repeat(maxCommandLength)).slice(0, maxCommandLength)),
    )
    const began = performance.now()
    for (const text of texts) shell.check(text)
    // Some 10 ms each: a cost that grows with the square of the length would be far beyond.
    expect((performance.now() - began) / texts.length).toBeLessThan(250)
  })
})
