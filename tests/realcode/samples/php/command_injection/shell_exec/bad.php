<?php

$host = $_POST['host'] ?? 'localhost';
$output = shell_exec('ping -c 1 ' . $host);
echo '<pre>' . htmlspecialchars($output) . '</pre>';
