#!/bin/sh
curl --header "PRIVATE-TOKEN: {{gitlab}}" "https://gitlab.example.com/api/v4/projects"
