<?php

function current_user(string $token): string
{
    $parts = explode('.', $token);
    $claims = json_decode(base64_decode($parts[1]), true);
    return $claims['sub'];
}
