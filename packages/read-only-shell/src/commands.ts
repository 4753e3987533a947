/** The allowlist: programs that read files and print, with the options that do no more than that. */
import { conditionProblem, echoProblem, folderProblem, printfProblem, bracketProblem } from './builtins.ts'
import { jq, sedProblem } from './filters.ts'
import { findProblem } from './find.ts'
import { git } from './git.ts'
import { belowProblem } from './path.ts'
import type { Call, CommandForm, CommandRule } from './rule.ts'

const nothing: CommandForm = { operands: { max: 0 } }
const digest: CommandForm = { options: '-b -c -t --binary --check --text --tag --quiet --status' }

/** The pattern is the first operand, unless an option has it. */
const pattern = { text: 1, textBy: ['-e', '--regexp', '-f', '--file', '--files'] } as const

const withoutPattern = ({ options, operands }: Call): Call['operands'] =>
  pattern.textBy.some((option) => options.includes(option)) ? operands : operands.slice(1)

const grep: CommandForm = {
  options: `-E -F -G -P -i -v -w -x -c -l -L -o -q -s -n -H -h -b -a -I -r -R -z -Z -U -y -T -NUM
    -e= -f=path -m= -A= -B= -C= --extended-regexp --fixed-strings --basic-regexp --perl-regexp --regexp= --file=path
    --ignore-case --no-ignore-case --invert-match --word-regexp --line-regexp --count --color[=] --colour[=]
    --files-with-matches --files-without-match --max-count= --only-matching --quiet --silent --no-messages
    --byte-offset --with-filename --no-filename --label= --line-number --initial-tab --null --after-context=
    --before-context= --context= --text --binary-files= --include= --exclude= --exclude-dir= --recursive
    --dereference-recursive --line-buffered --null-data`,
  operands: pattern,
  check: (call) =>
    ['-r', '-R', '--recursive', '--dereference-recursive'].some((option) => call.options.includes(option))
      ? belowProblem(withoutPattern(call))
      : undefined,
}

/** Not `--pre`, `--hostname-bin` and `-z`, which run programs. */
const rg: CommandForm = {
  options: `-i -S -s -F -w -x -v -c -l -n -N -o -q -H -I -U -L -u -a -p -0 -P -h -e= -f=path -m= -A= -B= -C= -g= -t= -T= -r= -d=
    -j= -M= --ignore-case --smart-case --case-sensitive --fixed-strings --word-regexp --line-regexp --invert-match
    --count --count-matches --files-with-matches --files-without-match --line-number --no-line-number
    --only-matching --quiet --with-filename --no-filename --multiline --multiline-dotall --follow --unrestricted
    --text --pretty --null --pcre2 --hidden --no-hidden --no-ignore --no-ignore-vcs --files --type-list --json
    --stats --heading --no-heading --column --trim --vimgrep --passthru --no-messages --regexp= --file=path
    --max-count= --after-context= --before-context= --context= --glob= --iglob= --type= --type-not= --replace=
    --max-depth= --max-columns= --max-filesize= --sort= --sortr= --color= --colors= --threads= --engine=
    --encoding= --no-config --one-file-system`,
  operands: pattern,
  add: ['--no-config'],
  check: (call) => belowProblem(withoutPattern(call)),
}

const ls: CommandForm = {
  options: `-a -A -b -B -c -C -d -f -F -g -G -h -H -i -k -l -L -m -n -N -o -p -q -Q -r -R -s -S -t -u -U -v -x -X -Z -1
    -I= -w= -T= --all --almost-all --author --escape --block-size= --ignore-backups --color[=] --directory
    --classify[=] --file-type --format= --full-time --group-directories-first --no-group --human-readable --si
    --dereference --hide= --indicator-style= --inode --ignore= --kibibytes --numeric-uid-gid --literal
    --hide-control-chars --show-control-chars --quote-name --quoting-style= --reverse --recursive --size --sort=
    --time= --time-style= --tabsize= --width= --context --zero`,
}

const diff: CommandForm = {
  options: `-u -c -e -y -n -r -q -s -N -a -i -E -b -w -B -Z -t -T -d -p -U= -C= -W= -x= -I= -F= --unified[=] --context[=]
    --side-by-side --normal --recursive --brief --report-identical-files --new-file --text --ignore-case
    --ignore-tab-expansion --ignore-space-change --ignore-all-space --ignore-blank-lines --ignore-trailing-space
    --ignore-matching-lines= --exclude= --exclude-from=path --strip-trailing-cr --minimal --show-c-function
    --no-dereference --color[=] --width= --label= --suppress-common-lines --left-column`,
  check: ({ options, operands }) =>
    options.some((option) => option === '-r' || option === '--recursive') ? belowProblem(operands) : undefined,
}

/** With a second operand uniq writes a file; where options end at the first operand, `uniq a -c` has two. */
const uniq: CommandForm = {
  options: `-c -d -D -u -i -z -f= -s= -w= --count --repeated --all-repeated[=] --group[=] --unique --ignore-case
    --skip-fields= --skip-chars= --check-chars= --zero-terminated`,
  operands: { max: 0 },
}

/** An operand that does not start with `+` sets the clock. */
const date: CommandForm = {
  options: '-u -d= -r=path -R -I[=] --utc --universal --date= --reference=path --rfc-email --rfc-3339= --iso-8601[=]',
  operands: { text: 1, max: 1 },
  check: ({ operands: [format] }) =>
    format && !format.value.startsWith('+') ? `${format.value} would set the clock` : undefined,
}

const versionOnly: CommandRule = (words) =>
  words.length === 1 && words[0]?.value === '--version' ? undefined : 'only --version is on the allowlist'

/** Every command that may run, by its name. */
export const commands: Readonly<Record<string, CommandRule>> = {
  ls,
  cat: {
    options: `-A -b -e -E -n -s -t -T -u -v --show-all --number-nonblank --show-ends --number --squeeze-blank
      --show-tabs --show-nonprinting`,
  },
  head: { options: '-n= -c= -q -v -z -NUM --lines= --bytes= --quiet --silent --verbose --zero-terminated' },
  tail: { options: '-n= -c= -q -v -z -NUM --lines= --bytes= --quiet --silent --verbose --zero-terminated' },
  tac: { options: '-b -r -s= --before --regex --separator=' },
  nl: { options: '-b= -f= -h= -i= -l= -n= -p -s= -v= -w= -d= --body-numbering= --number-format= --number-width=' },
  wc: { options: '-c -m -l -L -w --bytes --chars --lines --max-line-length --words --total=' },
  grep,
  egrep: grep,
  fgrep: grep,
  rg,
  find: findProblem,
  sort: {
    options: `-b -d -f -g -h -i -M -n -r -R -s -u -V -z -c -C -m -k= -t= -S= --ignore-leading-blanks --dictionary-order
      --ignore-case --general-numeric-sort --human-numeric-sort --ignore-nonprinting --month-sort --numeric-sort
      --random-sort --reverse --stable --unique --version-sort --zero-terminated --check[=] --merge --key=
      --field-separator= --sort= --debug`,
  },
  uniq,
  cut: {
    options: `-b= -c= -d= -f= -n -s -z --bytes= --characters= --delimiter= --fields= --complement --only-delimited
      --output-delimiter= --zero-terminated`,
  },
  tr: {
    options: '-c -C -d -s -t --complement --delete --squeeze-repeats --truncate-set1',
    operands: { text: 2, min: 1, max: 2 },
  },
  paste: { options: '-d= -s -z --delimiters= --serial --zero-terminated' },
  fold: { options: '-b -s -w= --bytes --spaces --width=' },
  rev: {},
  column: { options: '-t -s= -o= -c= -x -n' },
  comm: { options: '-1 -2 -3 -z --check-order --nocheck-order --output-delimiter= --total' },
  cmp: { options: '-b -l -s -n= -i= --print-bytes --verbose --quiet --silent --bytes=' },
  diff,
  stat: { options: '-L -f -t -c= --dereference --file-system --format= --printf= --terse' },
  file: {
    options: '-b -i -h -L -k -r -0 -N --brief --mime --mime-type --mime-encoding --no-dereference --dereference',
  },
  du: {
    options: `-a -A -b -c -d= -D -h -H -k -L -l -m -P -S -s -t= -x -0 --all --apparent-size --block-size= --bytes --total
      --max-depth= --human-readable --si --dereference --separate-dirs --summarize --threshold= --time[=]
      --one-file-system --exclude= --inodes`,
  },
  df: {
    options: `-a -B= -h -H -i -k -l -m -P -t= -T -x= --all --block-size= --human-readable --si --inodes --local
      --no-sync --portability --total --type= --print-type --exclude-type= --output[=]`,
  },
  /** Not `-o`, and not `-R`, which writes `00Tree.html` into every folder. */
  tree: {
    options: `-a -d -l -f -x -q -N -Q -p -u -g -s -h -D -F -v -t -c -U -r -i -A -S -n -C -X -J -L=next -P=next -I=next --noreport
      --du --si --inodes --device --gitignore --ignore-case --matchdirs --prune --dirsfirst --filesfirst --filelimit=
      --charset= --timefmt= --sort=`,
  },
  pwd: { options: '-L -P', operands: { max: 0 } },
  cd: { operands: { min: 1, max: 1 }, alone: '', check: folderProblem },
  basename: { options: '-a -s= -z --multiple --suffix= --zero', operands: { min: 1 } },
  dirname: { options: '-z --zero', operands: { min: 1 } },
  realpath: {
    options: `-e -m -L -P -q -s -z --canonicalize-existing --canonicalize-missing --logical --physical --quiet
      --relative-to=path --relative-base=path --strip --no-symlinks --zero`,
    operands: { min: 1 },
  },
  readlink: {
    options: `-e -f -m -n -q -s -v -z --canonicalize --canonicalize-existing --canonicalize-missing --no-newline
      --quiet --silent --verbose --zero`,
    operands: { min: 1 },
  },
  md5sum: digest,
  sha1sum: digest,
  sha256sum: digest,
  sha512sum: digest,
  cksum: { options: '' },
  base64: { options: '-d -i -w= --decode --ignore-garbage --wrap=', operands: { max: 1 } },
  od: {
    options: `-a -b -c -d -f -i -l -o -s -x -v -A= -j= -N= -t= -w[=] --address-radix= --skip-bytes= --read-bytes=
      --format= --output-duplicates --width[=]`,
  },
  hexdump: { options: '-b -c -C -d -o -x -v -n= -s= --canonical --length= --skip= --no-squeezing' },
  /** A second operand would be written to; `-r` writes into what it reads from on some systems. */
  xxd: { options: '-b -e -i -p -u -E -c= -g= -l= -s=', operands: { max: 1 }, lone: true },
  seq: { options: '-f= -s= -w --format= --separator= --equal-width', operands: { text: 3, min: 1, max: 3 } },
  sed: sedProblem,
  jq,
  git,
  echo: echoProblem,
  printf: printfProblem,
  test: conditionProblem,
  '[': bracketProblem,
  true: () => undefined,
  false: () => undefined,
  which: { options: '-a', operands: { min: 1 }, alone: '' },
  type: { operands: { min: 1 }, alone: '' },
  date,
  id: { options: '-u -g -G -n -r -z --user --group --groups --name --real --zero' },
  whoami: nothing,
  nproc: { options: '--all', operands: { max: 0 } },
  uname: {
    options: '-a -s -n -r -v -m -p -i -o --all --kernel-name --nodename --kernel-release --machine --operating-system',
    operands: { max: 0 },
  },
  hostname: { operands: { max: 0 }, alone: '' },
  node: versionOnly,
  python3: versionOnly,
}
