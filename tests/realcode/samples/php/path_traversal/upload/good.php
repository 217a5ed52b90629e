<?php

if (isset($_FILES['avatar'])) {
    $target = __DIR__ . '/avatars/' . bin2hex(random_bytes(16)) . '.png';
    move_uploaded_file($_FILES['avatar']['tmp_name'], $target);
}
