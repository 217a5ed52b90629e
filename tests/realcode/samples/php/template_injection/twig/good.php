<?php

use Twig\Environment;
use Twig\Loader\ArrayLoader;

$twig = new Environment(new ArrayLoader(['mail' => 'Dear {{ greeting }}']));
$mailer->send($twig->render('mail', ['greeting' => $_POST['greeting'], 'user' => $user]));
