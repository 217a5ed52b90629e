<?php

function export(array $rows): string
{
    $path = sys_get_temp_dir() . '/export.csv';
    file_put_contents($path, implode("\n", $rows));
    return $path;
}
