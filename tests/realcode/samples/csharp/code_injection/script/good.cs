using System;
using System.Collections.Generic;

public static class Calculator
{
    private static readonly Dictionary<string, Func<double, double, double>> Operations = new()
    {
        ["add"] = (a, b) => a + b,
        ["multiply"] = (a, b) => a * b,
    };

    public static double Compute(string operation, double left, double right)
    {
        return Operations[operation](left, right);
    }
}
