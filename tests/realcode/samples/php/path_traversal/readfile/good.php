<?php

$name = basename($_GET['file']);
header('Content-Type: application/pdf');
readfile('/srv/reports/' . $name);
