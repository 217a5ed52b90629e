import android.text.TextUtils
import android.webkit.WebView

fun show(view: WebView, name: String) {
    view.loadData("<h1>Hello " + TextUtils.htmlEncode(name) + "</h1>", "text/html", "utf-8")
}
