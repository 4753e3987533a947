/**
 * `git`: subcommands that read, and what keeps the repository's own configuration from running programs.
 *
 * A repository is hostile as soon as somebody else wrote its `.git/config`: many settings name programs. Those with a
 * fixed name are overridden on the command line, which comes last; drivers of diffs are switched off by options,
 * transports (git fetches what a partial clone lacks) by a variable. Clean filters have any name and no switch, so
 * whatever compares the working tree runs only where the repository itself configures none.
 */
import type { CommandForm } from './rule.ts'

const settings = [
  'core.fsmonitor=false',
  'core.hooksPath=/dev/null',
  // Else `git diff` writes the index, whatever --no-optional-locks says. It then also lists files of which only the
  // time changed.
  'diff.autoRefreshIndex=false',
  'diff.submodule=short',
  'submodule.recurse=false',
  'log.showSignature=false',
  'gpg.program=false',
  'gpg.x509.program=false',
  'gpg.ssh.program=false',
]

const noDrivers = ['--no-ext-diff', '--no-textconv']

/** Of the repository and of its worktree; the user's own filters are the user's. */
const unless: CommandForm['unless'] = ['--local', '--worktree'].map((scope) => ({
  call: ['config', scope, '--includes', '--name-only', '--get-regexp', String.raw`^filter\.`],
  says: 'not run: this repository configures filters, which git would run to compare the working tree',
}))

const diffOptions = `-p -u -s -w -b -a -z -W -R -U= -S= -G= -M[=] -C[=] --patch --no-patch --unified= --stat[=] --numstat
  --shortstat --dirstat[=] --summary --compact-summary --name-only --name-status --raw --color[=] --no-color
  --word-diff[=] --word-diff-regex= --color-words[=] --ignore-all-space --ignore-space-change --ignore-space-at-eol
  --ignore-blank-lines --ignore-cr-at-eol --find-renames[=] --find-copies[=] --find-copies-harder --no-renames
  --diff-filter= --relative[=] --no-relative --exit-code --quiet --check --full-index --abbrev[=] --no-abbrev
  --minimal --patience --histogram --diff-algorithm= --inter-hunk-context= --function-context --pickaxe-all
  --pickaxe-regex --no-prefix --text --binary --irreversible-delete --no-indent-heuristic --indent-heuristic
  --no-ext-diff --no-textconv --patch-with-stat`

const revisionOptions = `-n= -NUM -i -E -F -P --max-count= --skip= --since= --after= --until= --before= --author=
  --committer= --grep= --all-match --invert-grep --regexp-ignore-case --extended-regexp --fixed-strings
  --perl-regexp --merges --no-merges --first-parent --all --branches[=] --tags[=] --remotes[=] --glob= --exclude=
  --reverse --date-order --topo-order --author-date-order --date= --left-right --left-only --right-only
  --cherry-pick --cherry-mark --cherry --boundary --simplify-by-decoration --ancestry-path --full-history --not
  --min-parents= --max-parents= --parents --children`

const logOptions = `${revisionOptions} ${diffOptions} -c --oneline --pretty[=] --format= --graph --decorate[=]
  --no-decorate --abbrev-commit --no-abbrev-commit --follow --cc --root --source --no-notes --notes[=] --mailmap
  --use-mailmap --no-mailmap --relative-date --walk-reflogs -g -L= --decorate-refs= --show-pulls`

const refOptions = `--sort= --format= --contains= --no-contains= --merged= --no-merged= --points-at= --color[=]
  --no-color -i --ignore-case`

const subcommands: Readonly<Record<string, CommandForm>> = {
  status: {
    // Not `-v`, which shows a diff by the repository's own textconv.
    options: `-s -b -u[=] -z --short --branch --porcelain[=] --long --untracked-files[=] --ignored[=]
      --ahead-behind --no-ahead-behind --renames --no-renames --show-stash`,
    add: ['--ignore-submodules=all'],
    unless,
  },
  diff: {
    options: `${diffOptions} --cached --staged --merge-base --cc -c`,
    add: [...noDrivers, '--ignore-submodules=all'],
    unless,
  },
  log: { options: logOptions, add: noDrivers },
  show: { options: logOptions, add: noDrivers },
  'diff-tree': { options: `${diffOptions} -r -t -c --root --cc --no-commit-id --stdin`, add: noDrivers },
  blame: {
    options: `-b -l -t -f -n -s -e -w -L= -M[=] -C[=] --root --show-stats --score-debug --show-name --show-number
      --show-email --porcelain --line-porcelain --incremental --date= --since= --reverse --first-parent --abbrev=
      --ignore-rev= --color-lines --color-by-age`,
    add: ['--no-textconv'],
    unless,
  },
  'ls-files': {
    options: `-c -d -o -i -s -u -k -t -v -z -x= -X=path --cached --deleted --others --ignored --stage --unmerged --killed
      --exclude= --exclude-from=path --exclude-standard --error-unmatch --full-name --abbrev[=] --directory
      --no-empty-directory --deduplicate --format=`,
  },
  'ls-tree': {
    options: `-d -r -t -l -z --long --name-only --name-status --object-only --full-name --full-tree --abbrev[=] --format=`,
  },
  'rev-parse': {
    options: `-q --verify --quiet --short[=] --abbrev-ref[=] --symbolic --symbolic-full-name --all --branches[=] --tags[=]
      --remotes[=] --show-toplevel --show-prefix --show-cdup --git-dir --absolute-git-dir --git-common-dir
      --is-inside-work-tree --is-inside-git-dir --is-bare-repository --is-shallow-repository --show-object-format[=]
      --show-superproject-working-tree --revs-only --no-revs --flags --no-flags --git-path=path --path-format=`,
  },
  'rev-list': { options: `${revisionOptions} --count --oneline --objects --abbrev-commit --pretty[=] --format=` },
  branch: {
    options: `-a -r -v --all --remotes --verbose --list --show-current --abbrev[=] --no-abbrev ${refOptions}`,
    check: ({ options, operands }) =>
      operands.length === 0 || options.includes('--list') ? undefined : 'a name would create a branch: use --list',
  },
  tag: {
    options: `-l -n[=] --list ${refOptions}`,
    check: ({ options, operands }) =>
      operands.length === 0 || options.includes('--list') || options.includes('-l')
        ? undefined
        : 'a name would create a tag: use --list',
  },
  remote: {
    options: '-v --verbose --all --push',
    check: ({ operands: [verb] }) =>
      verb === undefined || verb.value === 'get-url' ? undefined : `remote ${verb.value} is not on the allowlist`,
  },
  reflog: {
    options:
      '-n= -NUM -i --max-count= --skip= --all --oneline --date= --format= --pretty[=] --grep= --since= --until= -g',
    check: ({ operands: [verb] }) =>
      verb === undefined || verb.value === 'show' ? undefined : `reflog ${verb.value}: use reflog show`,
  },
  stash: {
    check: ({ operands: [verb, more] }) =>
      verb?.value === 'list' && !more ? undefined : 'only stash list is on the allowlist',
  },
  worktree: {
    options: '-v -z --porcelain --verbose',
    check: ({ operands: [verb, more] }) =>
      verb?.value === 'list' && !more ? undefined : 'only worktree list is on the allowlist',
  },
  describe: {
    options: `--all --tags --contains --abbrev= --candidates= --exact-match --debug --long --match= --exclude= --always
      --first-parent`,
  },
  shortlog: { options: `${revisionOptions} -n -s -e -c -w[=] --numbered --summary --email --group= --committer` },
  'cat-file': { options: '-p -t -s -e --batch-check[=] --batch[=] --buffer' },
  grep: {
    options: `-E -F -G -P -i -v -w -c -l -L -n -h -H -o -q -a -I -z -p -W -NUM -e= -f=path -m= -A= -B= -C= --cached
      --untracked --no-exclude-standard --exclude-standard --extended-regexp --fixed-strings --basic-regexp
      --perl-regexp --ignore-case --invert-match --word-regexp --count --files-with-matches --name-only
      --files-without-match --line-number --column --only-matching --quiet --text --max-depth= --max-count=
      --after-context= --before-context= --context= --show-function --function-context --heading --break
      --full-name --null --all-match --and --or --not --color[=] --no-color`,
    operands: { text: 1, textBy: ['-e', '-f'] },
  },
  'merge-base': { options: '-a --all --octopus --independent --is-ancestor --fork-point' },
  'name-rev': { options: '--tags --refs= --exclude= --all --name-only --no-undefined --always' },
  'show-ref': { options: '-q -s -d --head --heads --tags --verify --hash[=] --dereference --abbrev[=] --quiet' },
  'for-each-ref': { options: `${refOptions} --count= --shell --perl --ignore-case` },
  'count-objects': { options: '-v -H --verbose --human-readable', operands: { max: 0 } },
  'check-ignore': { options: '-q -v -n -z --quiet --verbose --non-matching --no-index', operands: { min: 1 } },
  'check-attr': { options: '-a -z --all --cached' },
  cherry: { options: '-v --abbrev[=]' },
  version: { operands: { max: 0 } },
}

/** The rule of `git`. */
export const git: CommandForm = {
  options: '-C=path -P --no-pager',
  alone: '--version',
  add: ['--no-pager', '--no-optional-locks', ...settings.flatMap((setting) => ['-c', setting])],
  environment: { GIT_ALLOW_PROTOCOL: '', GIT_NO_LAZY_FETCH: '1' },
  subcommands,
}
