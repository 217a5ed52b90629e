<?php

function compute(string $formula): float
{
    return eval('return ' . $formula . ';');
}

echo compute($_GET['formula'] ?? '1 + 1') > 0 ? 'positive' : 'negative';
