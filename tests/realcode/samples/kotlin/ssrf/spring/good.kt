@RestController
class Fetch(private val rest: RestTemplate) {
    @GetMapping("/fetch")
    fun fetch(@RequestParam id: Long): String? =
        rest.getForObject("https://api.example.org/items/{id}", String::class.java, id)
}
