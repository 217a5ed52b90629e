package rules;

import org.springframework.expression.Expression;
import org.springframework.expression.ExpressionParser;
import org.springframework.expression.spel.standard.SpelExpressionParser;
import org.springframework.expression.spel.support.SimpleEvaluationContext;
import org.springframework.web.bind.annotation.*;

@RestController
class DiscountController {
    private final ExpressionParser parser = new SpelExpressionParser();

    @PostMapping("/discount")
    Object discount(@RequestBody Order order) {
        Expression expression = parser.parseExpression("total > 100 ? 10 : 0");
        return expression.getValue(SimpleEvaluationContext.forReadOnlyDataBinding().build(), order);
    }
}
