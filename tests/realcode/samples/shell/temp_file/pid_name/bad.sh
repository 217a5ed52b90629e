#!/bin/bash
list=/tmp/files.$$
find . -type f > "$list"
wc -l < "$list"
rm -f "$list"
