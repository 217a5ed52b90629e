#!/bin/sh
umask 077
openssl genrsa -out server.key 3072
ssh-keygen -t ed25519 -N '' -f deploy
