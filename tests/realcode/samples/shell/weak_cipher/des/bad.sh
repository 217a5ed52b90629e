#!/bin/sh
openssl enc -des-ede3-cbc -salt -in backup.tar -out backup.enc -pass file:key.txt
