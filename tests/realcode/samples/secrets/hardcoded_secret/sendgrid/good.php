<?php
$mail = new \SendGrid(getenv('SENDGRID_API_KEY'));
