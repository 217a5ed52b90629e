<?php

$pair = openssl_pkey_new([
    'private_key_type' => OPENSSL_KEYTYPE_RSA,
    'private_key_bits' => 3072,
]);
openssl_pkey_export($pair, $private);
