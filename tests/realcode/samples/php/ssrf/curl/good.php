<?php

$hosts = ['images.example.com', 'cdn.example.com'];
$url = $_GET['url'];
if (!in_array(parse_url($url, PHP_URL_HOST), $hosts, true)) {
    http_response_code(400);
    exit;
}
$curl = curl_init();
curl_setopt($curl, CURLOPT_URL, $url);
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
$image = curl_exec($curl);
curl_close($curl);
save($image);
