#!/bin/bash
read -rs -p 'Password: ' password
printf '%s' "$password" | openssl passwd -6 -stdin >> users.txt
