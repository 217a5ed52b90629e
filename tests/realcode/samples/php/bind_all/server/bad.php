<?php

$server = stream_socket_server('tcp://0.0.0.0:8000', $code, $reason);
while ($connection = stream_socket_accept($server)) {
    handle($connection);
}
