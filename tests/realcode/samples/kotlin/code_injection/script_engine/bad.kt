import javax.script.ScriptEngineManager

fun price(formula: String): Any? {
    val engine = ScriptEngineManager().getEngineByName("kotlin")
    return engine.eval(formula)
}
