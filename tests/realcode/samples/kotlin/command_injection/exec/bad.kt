@RestController
class PingController {
    @GetMapping("/ping")
    fun ping(@RequestParam host: String): String {
        val process = Runtime.getRuntime().exec("ping -c 1 $host")
        return process.inputStream.bufferedReader().readText()
    }
}
