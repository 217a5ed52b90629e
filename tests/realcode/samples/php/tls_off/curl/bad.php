<?php

function fetch(string $path): string
{
    $curl = curl_init('https://api.example.com' . $path);
    curl_setopt_array($curl, [
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_SSL_VERIFYPEER => false,
    ]);
    return curl_exec($curl);
}
