<?php

function compute(string $operation, float $left, float $right): float
{
    return match ($operation) {
        'add' => $left + $right,
        'multiply' => $left * $right,
    };
}

echo compute($_GET['operation'], (float) $_GET['left'], (float) $_GET['right']) > 0 ? 'positive' : 'negative';
