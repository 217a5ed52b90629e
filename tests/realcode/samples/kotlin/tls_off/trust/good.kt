import okhttp3.CertificatePinner
import okhttp3.OkHttpClient

fun client(pins: CertificatePinner) = OkHttpClient.Builder()
    .certificatePinner(pins)
    .build()
