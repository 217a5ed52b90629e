import net from 'node:net';

net.createServer((socket) => {
  socket.on('data', (chunk) => {
    const job = JSON.parse(chunk.toString('utf8'));
    socket.end(`took ${job.id}`);
  });
}).listen(7070, '127.0.0.1');
