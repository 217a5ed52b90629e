#!/bin/bash
list=$(mktemp)
trap 'rm -f "$list"' EXIT
find . -type f > "$list"
wc -l < "$list"
