<?php
mkdir('/var/www/uploads', 0777, true);
chmod('/var/www/config.php', 0777);
