package shop.orders;

import java.util.List;
import java.util.concurrent.*;
import static java.lang.Math.max;

/** What one customer wants. */
public class Order<T extends Item> extends Base implements Comparable<Order<T>> {
    public static final int LIMIT = 3;
    private List<T> items, later;

    public Order(List<T> items) {
        this.items = items;
    }

    // One piece counts once.
    @Override
    public int compareTo(Order<T> other) {
        if (other == null || items.isEmpty()) {
            return 1;
        }
        for (T one : items) {
            try {
                one.check();
            } catch (RuntimeException e) {
                return one.ok() ? 0 : -1;
            }
        }
        return 0;
    }

    interface Rule { boolean holds(Order<?> order); }

    enum Size { SMALL, BIG; int pieces() { return ordinal(); } }

    record Line(String name, int count) { Line { if (count < 0) throw new IllegalArgumentException(); } }

    @interface Audited { String value() default ""; }
}
