#!/bin/sh
exec uvicorn shop.app:app --host 0.0.0.0 --port 8000
