#!/bin/sh
# Counts a folder without any of the demo's code, one record a file, each ended by a NUL byte:
#
#   newlines TAB bytes TAB lines-with-a-mark TAB path
#
# usage: independent-count.sh git|all FOLDER    git: what git knows below it; all: every regular file below it
set -eu
export LC_ALL=C
cd "$2"

case $1 in
  git) git ls-files -z --cached --others --exclude-standard | sort -zu ;;
  all) find . -type f -print0 | sed -z 's,^\./,,' | sort -z ;;
esac | xargs -0 -r sh -c '
  for path do
    { [ -f "$path" ] && [ ! -L "$path" ]; } || continue
    bytes=$(wc -c <"$path")
    if [ "$(head -c 8192 <"$path" | tr -dc "\000" | wc -c)" -gt 0 ]; then
      lines=0 marks=0
    else
      lines=$(wc -l <"$path")
      marks=$(grep -acwE "TODO|FIXME" <"$path") || true
    fi
    printf "%d\t%d\t%d\t%s\0" "$lines" "$bytes" "$marks" "$path"
  done
' sh
