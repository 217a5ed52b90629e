<?php
require 'database.php';

$id = $_GET['id'];
$result = mysqli_query($link, "SELECT name, price FROM product WHERE id = $id");
while ($row = mysqli_fetch_assoc($result)) {
    echo htmlspecialchars($row['name']), "\n";
}
