<?php
mkdir('/var/www/uploads', 0750, true);
chmod('/var/www/config.php', 0640);
