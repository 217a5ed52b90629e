package net;

import java.io.IOException;
import java.net.URL;
import javax.net.ssl.HttpsURLConnection;

class Health {
    int status(URL url) throws IOException {
        HttpsURLConnection connection = (HttpsURLConnection) url.openConnection();
        connection.setHostnameVerifier((host, session) -> true);
        return connection.getResponseCode();
    }
}
