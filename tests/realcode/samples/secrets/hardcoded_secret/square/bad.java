class Payments {
    private static final String KEY = "{{square}}";
}
