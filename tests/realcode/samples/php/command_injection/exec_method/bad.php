<?php

class Thumbnails
{
    public function make(string $source, string $target): bool
    {
        exec("convert $source -resize 200x200 $target", $lines, $code);
        return $code === 0;
    }
}
