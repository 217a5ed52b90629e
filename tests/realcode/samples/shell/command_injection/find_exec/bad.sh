#!/bin/sh
find "$UPLOADS" -name '*.png' -exec sh -c 'convert {} {}.jpg' \;
