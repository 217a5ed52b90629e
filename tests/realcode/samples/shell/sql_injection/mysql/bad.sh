#!/bin/bash
name="$1"
mysql shop -e "SELECT id, total FROM orders WHERE customer = '$name'"
