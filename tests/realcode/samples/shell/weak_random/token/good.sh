#!/bin/bash
token="$(openssl rand -hex 32)"
curl -fsS -X POST -d "token=$token" http://localhost:8080/tokens
