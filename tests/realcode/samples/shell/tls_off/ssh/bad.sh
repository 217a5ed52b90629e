#!/bin/bash
for host in web1 web2; do
    ssh -o StrictHostKeyChecking=no "deploy@$host" uptime
done
