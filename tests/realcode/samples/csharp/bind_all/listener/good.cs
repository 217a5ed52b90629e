using System.Net;
using System.Net.Sockets;

public static class Admin
{
    public static TcpListener Open(int port)
    {
        var listener = new TcpListener(IPAddress.Loopback, port);
        listener.Start();
        return listener;
    }
}
