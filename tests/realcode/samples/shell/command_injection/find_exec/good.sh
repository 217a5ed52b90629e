#!/bin/sh
find "$UPLOADS" -name '*.png' -exec sh -c 'convert "$1" "$1.jpg"' sh {} \;
