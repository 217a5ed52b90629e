#!/bin/sh
exec uvicorn shop.app:app --host "${HOST:-127.0.0.1}" --port 8000
