<?php

$name = $_GET['file'];
header('Content-Type: application/pdf');
readfile('/srv/reports/' . $name);
