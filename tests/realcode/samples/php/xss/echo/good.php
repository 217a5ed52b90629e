<?php

$term = $_GET['q'];
$results = search($term);
echo '<h1>Results for ' . htmlspecialchars($term, ENT_QUOTES) . '</h1>';
foreach ($results as $result) {
    echo '<li>' . htmlspecialchars($result->title) . '</li>';
}
