#!/bin/bash
# Orders of a shop.
set -eu
source ./setup.sh
. "$HOME/rules.sh"

LIMIT=3
readonly NAME="shop"
export TOTAL=0

help() {
  echo "usage: $0"
}

function send {
  local to="$1"
  if [ -z "$to" ] || [ ! -f "$to" ]; then
    help
  elif [ "$to" = all ]; then
    for one in *; do echo "$one"; done
  fi
  case "$to" in
    a) echo a ;;
    b) echo b ;;
  esac
}

send "$@"
cat <<END
# no comment
END
