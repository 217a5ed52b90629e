<?php
require 'database.php';

$statement = mysqli_prepare($link, 'SELECT name, price FROM product WHERE id = ?');
mysqli_stmt_bind_param($statement, 'i', $_GET['id']);
mysqli_stmt_execute($statement);
$result = mysqli_stmt_get_result($statement);
while ($row = mysqli_fetch_assoc($result)) {
    echo htmlspecialchars($row['name']), "\n";
}
