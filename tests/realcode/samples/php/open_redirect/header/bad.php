<?php

session_start();
$_SESSION['user'] = login($_POST['user'], $_POST['password']);
$next = $_GET['next'] ?? '/';
header("Location: $next");
exit;
