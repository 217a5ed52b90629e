package shop.orders

import scala.collection.mutable
import scala.util.{Try, Success => Ok, _}
import shop.stock.*

// What one customer wants.
trait Rule[T] {
  def holds(order: T): Boolean
}

case class Line(name: String, count: Int)

/* A class
   of its own. */
abstract class Order(val items: List[Line])(implicit x: Int) extends Base with Rule[Order] {
  private val total = items.size
  var open: Boolean = true
  type Name = String

  override def holds(order: Order): Boolean = order.total > 0 && open

  def find(name: String, strict: Boolean = true): Option[Line] = {
    def same(one: Line) = one.name == name
    for (one <- items if same(one)) return Some(one)
    name match {
      case "a" => None
      case "b" => if (strict) None else items.headOption
      case _ => None
    }
  }
}

object Order {
  val Limit = 3
  def apply(items: Line*): Order = ???
}

enum Size:
  case Small, Big

object Main extends App {
  println("done")
}
