@RestController
class Fetch(private val rest: RestTemplate) {
    @GetMapping("/fetch")
    fun fetch(@RequestParam url: String): String? = rest.getForObject(url, String::class.java)
}
