fun compress(folder: String): Int {
    val process = ProcessBuilder("tar", "czf", "out.tgz", "--", folder).inheritIO().start()
    return process.waitFor()
}
