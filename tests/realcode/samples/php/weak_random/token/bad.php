<?php

function resetToken(string $user): string
{
    $token = md5(uniqid(mt_rand(), true));
    store_token($user, $token);
    return $token;
}
