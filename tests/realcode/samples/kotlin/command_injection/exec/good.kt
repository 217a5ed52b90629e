@RestController
class PingController {
    @GetMapping("/ping")
    fun ping(@RequestParam host: String): Boolean {
        return InetAddress.getByName(host).isReachable(2000)
    }
}
