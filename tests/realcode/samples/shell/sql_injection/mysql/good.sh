#!/bin/bash
name="$1"
psql shop -v "customer=$name" <<'SQL'
SELECT id, total FROM orders WHERE customer = :'customer'
SQL
