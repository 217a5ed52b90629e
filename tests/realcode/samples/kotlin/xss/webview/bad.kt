import android.webkit.WebView

fun show(view: WebView, name: String) {
    view.settings.javaScriptEnabled = true
    view.loadData("<h1>Hello $name</h1>", "text/html", "utf-8")
}
