package keys;

final class Sessions {
    static String open(Store store, String user) {
        long number = (long) (Math.random() * Long.MAX_VALUE);
        String sessionId = Long.toHexString(number);
        store.put(sessionId, user);
        return sessionId;
    }
}
