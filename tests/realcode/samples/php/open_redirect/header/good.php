<?php

session_start();
$_SESSION['user'] = login($_POST['user'], $_POST['password']);
$next = $_GET['next'] ?? '/';
if (!in_array($next, ['/', '/orders', '/profile'], true)) {
    $next = '/';
}
header("Location: $next");
exit;
