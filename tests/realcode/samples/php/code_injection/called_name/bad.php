<?php

require 'actions.php';

$action = $_GET['action'];
$answer = call_user_func($action, $_GET['id']);
header('Content-Type: application/json');
echo json_encode($answer);
