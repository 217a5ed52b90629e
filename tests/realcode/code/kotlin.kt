package shop.orders

import kotlin.math.max
import kotlin.collections.*
import shop.stock.Item as Thing

const val LIMIT = 3
val ready: Boolean get() = true
typealias Name = String

/* What one
 * customer wants. */
data class Order(val items: List<Thing>, var open: Boolean = true) : Base(), Comparable<Order> {
    private val total = items.size

    init { require(total > 0) }

    constructor(one: Thing) : this(listOf(one))

    // One piece counts once.
    override fun compareTo(other: Order): Int = when {
        other.total > total && open -> 1
        other.total == total -> 0
        else -> -1
    }

    companion object {
        fun of(vararg items: Thing): Order = Order(items.toList())
    }

    enum class Size { SMALL, BIG }
}

interface Rule { fun holds(order: Order): Boolean }

object Shop : Rule {
    override fun holds(order: Order) = true
}

suspend fun String.send(where: Name?): Int {
    if (where == null || isEmpty()) return 0
    fun inner() = 1
    for (one in this) println(one)
    return inner()
}
