<?php
declare(strict_types=1);

namespace Shop\Orders;

use Shop\Stock\Item;
use Shop\Stock\{Count as Counted, Price};
use function Shop\help;
use const Shop\LIMIT;
require_once __DIR__ . '/setup.php';
include 'rules.php';

const SMALL = 1;
define('BIG', 2);

# What one customer wants.
interface Keeps { public function find(string $name): ?Item; }

trait Logged { private function log(string $m): void {} }

enum Size: int { case Small = 1; case Big = 2; }

abstract class Order extends Base implements Keeps
{
    use Logged;
    public const LIMIT = 3;
    private array $items = [];

    public function __construct(private string $name, array $items = []) { $this->items = $items; }

    public function find(string $name): ?Item
    {
        foreach ($this->items as $one) {
            if ($one->name === $name && $one->count > 0) {
                return $one;
            } elseif ($name === '') {
                return null;
            }
        }
        return $this->items[0] ?? null;
    }

    abstract protected function send(): void;
}

/* The start. */
function main(array $argv): int
{
    $twice = fn ($x) => $x * 2;
    $once = function ($x) use ($twice) { return $x; };
    return $argv ? 1 : 0;
}
?>
<p>Bye</p>
