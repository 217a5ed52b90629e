<?php
$mail = new \SendGrid('{{sendgrid}}');
