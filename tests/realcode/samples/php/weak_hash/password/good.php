<?php

function register(PDO $pdo, string $name, string $password): void
{
    $statement = $pdo->prepare('INSERT INTO users (name, hash) VALUES (?, ?)');
    $statement->execute([$name, password_hash($password, PASSWORD_DEFAULT)]);
}
