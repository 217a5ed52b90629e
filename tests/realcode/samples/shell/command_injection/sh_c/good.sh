#!/bin/bash
set -euo pipefail

host="$1"
ping -c 1 -- "$host" && traceroute -- "$host"
