#!/bin/bash
while read -r line; do
    key=${line%%=*}
    value=${line#*=}
    eval "$key=\"$value\""
done < settings.conf
echo "port: $PORT"
