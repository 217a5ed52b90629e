// Orders of a shop.
using System;
using System.Collections.Generic;
using static System.Math;
using Names = System.Collections.Generic.List<string>;

namespace Shop.Orders
{
    public delegate bool Rule(Order order);

    public interface IKeeps<T> { T Find(string name); }

    public enum Size { Small = 1, Big }

    public record Line(string Name, int Count);

    public struct Point { public int X, Y; }

    [Serializable]
    public abstract class Order : Base, IKeeps<Line>
    {
        public const int Limit = 3;
        private readonly List<Line> items = new();
        public event EventHandler Paid;

        public Order(List<Line> items) { this.items = items; }

        public int Total { get; private set; }

        public int this[int i] => i;

        /* The one with this name. */
        public Line Find(string name)
        {
            foreach (var one in items)
            {
                if (one.Name == name && one.Count > 0) return one;
            }
            int Local(int x) => x > 0 ? x : 0;
            return null ?? new Line(name, Local(1));
        }

        public static bool operator ==(Order a, Order b) => true;
        public abstract void Send();
        ~Order() { }
    }
}
