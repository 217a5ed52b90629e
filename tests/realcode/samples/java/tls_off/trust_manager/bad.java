package net;

import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import javax.net.ssl.*;

class Https {
    static SSLContext context() throws Exception {
        TrustManager[] managers = new TrustManager[] {
            new X509TrustManager() {
                public void checkClientTrusted(X509Certificate[] certificates, String type) {}

                public void checkServerTrusted(X509Certificate[] certificates, String type) {}

                public X509Certificate[] getAcceptedIssuers() {
                    return new X509Certificate[0];
                }
            }
        };
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers, new SecureRandom());
        return context;
    }
}
