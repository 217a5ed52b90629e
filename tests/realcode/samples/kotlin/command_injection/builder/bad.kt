fun compress(folder: String): Int {
    val process = ProcessBuilder("bash", "-c", "tar czf out.tgz $folder").inheritIO().start()
    return process.waitFor()
}
