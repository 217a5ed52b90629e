package login;

import org.springframework.stereotype.Controller;
import org.springframework.web.bind.annotation.*;

@Controller
class LeaveController {
    @GetMapping("/leave")
    public String leave(@RequestParam(value = "to", required = false) String to) {
        return "redirect:" + to;
    }
}
