#!/bin/bash
set -euo pipefail

host="$1"
sh -c "ping -c 1 $host && traceroute $host"
