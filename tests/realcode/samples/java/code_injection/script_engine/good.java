package calc;

import java.util.Map;
import java.util.function.DoubleBinaryOperator;
import javax.servlet.http.HttpServletRequest;

class Calculator {
    private static final Map<String, DoubleBinaryOperator> OPERATIONS =
            Map.of("add", Double::sum, "multiply", (a, b) -> a * b);

    Object compute(HttpServletRequest request) {
        DoubleBinaryOperator operation = OPERATIONS.get(request.getParameter("operation"));
        double left = Double.parseDouble(request.getParameter("left"));
        double right = Double.parseDouble(request.getParameter("right"));
        return operation.applyAsDouble(left, right);
    }
}
