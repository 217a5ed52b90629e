<?php

$curl = curl_init();
curl_setopt($curl, CURLOPT_URL, $_GET['url']);
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
$image = curl_exec($curl);
curl_close($curl);
save($image);
