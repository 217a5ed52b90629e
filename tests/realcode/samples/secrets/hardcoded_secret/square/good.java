class Payments {
    private static final String KEY = System.getenv("SQUARE_TOKEN");
}
