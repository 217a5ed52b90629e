#!/bin/bash
token="$RANDOM$RANDOM$RANDOM"
curl -fsS -X POST -d "token=$token" http://localhost:8080/tokens
