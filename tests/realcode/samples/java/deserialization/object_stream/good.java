package net;

import java.io.IOException;
import java.io.ObjectInputFilter;
import java.io.ObjectInputStream;
import java.net.Socket;

class Receiver {
    Message receive(Socket socket) throws IOException, ClassNotFoundException {
        try (ObjectInputStream input = new ObjectInputStream(socket.getInputStream())) {
            input.setObjectInputFilter(ObjectInputFilter.Config.createFilter("net.Message;!*"));
            return (Message) input.readObject();
        }
    }
}
