#!/bin/bash
declare -A settings
while read -r line; do
    key=${line%%=*}
    value=${line#*=}
    settings[$key]=$value
done < settings.conf
echo "port: ${settings[PORT]}"
