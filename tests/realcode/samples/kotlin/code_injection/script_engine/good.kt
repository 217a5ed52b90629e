val FORMULAS: Map<String, (Double) -> Double> = mapOf("net" to { it }, "gross" to { it * 1.19 })

fun price(formula: String, base: Double): Double = FORMULAS.getValue(formula)(base)
