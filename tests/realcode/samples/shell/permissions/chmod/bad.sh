#!/bin/sh
mkdir -p /srv/uploads
chmod -R 777 /srv/uploads
