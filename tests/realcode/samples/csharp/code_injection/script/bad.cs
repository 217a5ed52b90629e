using System.Threading.Tasks;
using Microsoft.CodeAnalysis.CSharp.Scripting;

public static class Calculator
{
    public static async Task<double> Compute(string formula)
    {
        return await CSharpScript.EvaluateAsync<double>(formula);
    }
}
