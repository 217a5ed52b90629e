<?php

require 'actions.php';

$action = match ($_GET['action']) {
    'show' => 'show_order',
    'cancel' => 'cancel_order',
};
$answer = call_user_func($action, $_GET['id']);
header('Content-Type: application/json');
echo json_encode($answer);
