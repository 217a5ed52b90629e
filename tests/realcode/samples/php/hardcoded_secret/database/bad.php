<?php

$pdo = new PDO('mysql:host=db;dbname=shop', 'shop', '{{password}}');
$pdo->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
