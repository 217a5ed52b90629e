package rules;

import org.springframework.expression.Expression;
import org.springframework.expression.ExpressionParser;
import org.springframework.expression.spel.standard.SpelExpressionParser;
import org.springframework.web.bind.annotation.*;

@RestController
class DiscountController {
    private final ExpressionParser parser = new SpelExpressionParser();

    @PostMapping("/discount")
    Object discount(@RequestBody String rule) {
        Expression expression = parser.parseExpression(rule);
        return expression.getValue();
    }
}
