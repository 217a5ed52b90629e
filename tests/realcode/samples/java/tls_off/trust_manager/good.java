package net;

import java.security.KeyStore;
import java.security.SecureRandom;
import javax.net.ssl.*;

class Https {
    static SSLContext context(KeyStore authorities) throws Exception {
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(authorities);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, factory.getTrustManagers(), new SecureRandom());
        return context;
    }
}
