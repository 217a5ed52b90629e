import net from 'node:net';
import v8 from 'node:v8';

net.createServer((socket) => {
  socket.on('data', (chunk) => {
    const job = v8.deserialize(chunk);
    socket.end(`took ${job.id}`);
  });
}).listen(7070, '127.0.0.1');
