<?php

use Twig\Environment;
use Twig\Loader\ArrayLoader;

$twig = new Environment(new ArrayLoader());
$template = $twig->createTemplate('Dear ' . $_POST['greeting']);
$mailer->send($template->render(['user' => $user]));
