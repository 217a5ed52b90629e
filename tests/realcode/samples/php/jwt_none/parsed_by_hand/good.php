<?php

use Firebase\JWT\JWT;
use Firebase\JWT\Key;

function current_user(string $token): string
{
    $claims = JWT::decode($token, new Key(getenv('JWT_KEY'), 'HS256'));
    return $claims->sub;
}
