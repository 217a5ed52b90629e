<?php

function seal(string $text, string $key): string
{
    return base64_encode(openssl_encrypt($text, 'aes-128-ecb', $key, OPENSSL_RAW_DATA));
}
