#!/bin/bash
for host in web1 web2; do
    ssh -o UserKnownHostsFile=./known_hosts "deploy@$host" uptime
done
