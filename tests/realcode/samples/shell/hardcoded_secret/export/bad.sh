#!/bin/bash
export DB_PASSWORD='{{password}}'
python manage.py migrate
