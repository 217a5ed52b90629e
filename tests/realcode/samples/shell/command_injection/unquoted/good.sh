#!/bin/sh
tar czf backup.tar.gz -- "$1"
