<?php

function fetch(string $path): string
{
    $curl = curl_init('https://api.example.com' . $path);
    curl_setopt_array($curl, [
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_CAINFO => '/etc/ssl/certs/example.pem',
    ]);
    return curl_exec($curl);
}
