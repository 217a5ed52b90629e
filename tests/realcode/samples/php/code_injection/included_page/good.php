<?php

$pages = ['home' => 'pages/home.php', 'about' => 'pages/about.php'];
$page = $_GET['page'] ?? 'home';
include $pages[$page] ?? $pages['home'];
