<?php

function export(array $rows): string
{
    $path = tempnam(sys_get_temp_dir(), 'export');
    file_put_contents($path, implode("\n", $rows));
    return $path;
}
