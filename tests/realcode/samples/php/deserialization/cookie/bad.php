<?php

$cart = isset($_COOKIE['cart']) ? unserialize(base64_decode($_COOKIE['cart'])) : [];
$total = array_sum(array_column($cart, 'price'));
