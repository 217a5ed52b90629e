using System.Net;
using System.Net.Sockets;

public static class Admin
{
    public static TcpListener Open(int port)
    {
        var listener = new TcpListener(IPAddress.Any, port);
        listener.Start();
        return listener;
    }
}
