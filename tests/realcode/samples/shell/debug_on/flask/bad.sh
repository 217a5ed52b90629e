#!/bin/sh
export FLASK_APP=shop
export FLASK_DEBUG=1
exec flask run --port 8000
