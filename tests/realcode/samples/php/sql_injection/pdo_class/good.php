<?php

final class UserRepository
{
    public function __construct(private PDO $pdo)
    {
    }

    public function byName(string $name): array
    {
        $sql = "SELECT * FROM users";
        $sql .= " WHERE name = :name";
        $statement = $this->pdo->prepare($sql);
        $statement->execute(['name' => $name]);
        return $statement->fetchAll();
    }
}
