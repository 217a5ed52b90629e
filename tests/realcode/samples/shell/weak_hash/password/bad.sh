#!/bin/bash
read -rs -p 'Password: ' password
printf '%s' "$password" | md5sum | cut -d' ' -f1 >> users.txt
