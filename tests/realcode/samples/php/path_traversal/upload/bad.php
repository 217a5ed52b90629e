<?php

if (isset($_FILES['avatar'])) {
    $target = __DIR__ . '/avatars/' . $_FILES['avatar']['name'];
    move_uploaded_file($_FILES['avatar']['tmp_name'], $target);
}
