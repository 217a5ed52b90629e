package tools;

import java.io.IOException;
import java.util.Scanner;

public class Lookup {
    public static void main(String[] args) throws IOException {
        Scanner scanner = new Scanner(System.in);
        String domain = scanner.nextLine();
        String[] command = {"sh", "-c", "dig +short " + domain};
        Runtime.getRuntime().exec(command);
    }
}
