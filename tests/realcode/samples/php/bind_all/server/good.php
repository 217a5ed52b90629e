<?php

$server = stream_socket_server('tcp://127.0.0.1:8000', $code, $reason);
while ($connection = stream_socket_accept($server)) {
    handle($connection);
}
