<?php

class Thumbnails
{
    public function make(string $source, string $target): bool
    {
        $process = proc_open(['convert', $source, '-resize', '200x200', $target], [], $pipes);
        return proc_close($process) === 0;
    }
}
