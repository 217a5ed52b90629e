#!/bin/sh
openssl enc -aes-256-ctr -pbkdf2 -salt -in backup.tar -out backup.enc -pass file:key.txt
