<?php

function resetToken(string $user): string
{
    $token = bin2hex(random_bytes(32));
    store_token($user, $token);
    return $token;
}
