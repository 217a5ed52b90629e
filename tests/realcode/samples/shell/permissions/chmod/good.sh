#!/bin/sh
mkdir -p /srv/uploads
chown -R www-data /srv/uploads
chmod -R u=rwX,go=rX /srv/uploads
