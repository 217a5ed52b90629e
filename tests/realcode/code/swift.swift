// Orders of a shop.
import Foundation
import struct Stock.Item

let limit = 3
var total: Int = 0
typealias Name = String

/* What one /* nested */
   customer wants. */
public final class Order<T: Item>: Base, Comparable {
    private let items: [T]
    static var size: Int { 1 }

    init(items: [T], name: Name? = nil) {
        self.items = items
    }

    deinit {}

    func find(_ name: Name, strict: Bool = true) throws -> T? {
        guard !items.isEmpty else { return nil }
        for one in items where one.name == name && strict {
            return one
        }
        return strict ? nil : items.first ?? nil
    }

    subscript(i: Int) -> T { items[i] }

    static func < (a: Order, b: Order) -> Bool { a.items.count < b.items.count }

    enum Size: Int { case small = 1, big }
}

struct Line { var count = 0 }

protocol Rule {
    var strict: Bool { get }
    func holds(_ order: Line) -> Bool
}

extension Line: Rule {
    var strict: Bool { true }
    func holds(_ order: Line) -> Bool { order.count > 0 }
}

actor Shop { func open() async {} }

func main() async {
    func inner() -> Int { 1 }
    switch inner() {
    case 1: print("one")
    default: break
    }
}
