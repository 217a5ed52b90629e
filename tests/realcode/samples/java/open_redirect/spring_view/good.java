package login;

import java.util.Map;
import org.springframework.stereotype.Controller;
import org.springframework.web.bind.annotation.*;

@Controller
class LeaveController {
    private static final Map<String, String> PARTNERS = Map.of("bank", "https://bank.example.com/");

    @GetMapping("/leave")
    public String leave(@RequestParam(value = "to", required = false) String to) {
        return "redirect:" + PARTNERS.getOrDefault(to, "/");
    }
}
