const sqlite3 = require('sqlite3').verbose();

const db = new sqlite3.Database('notes.db');

function search(term, done) {
  db.all('SELECT * FROM notes WHERE body LIKE ?', [`%${term}%`], (error, rows) => {
    done(error, rows);
  });
}

module.exports = { search };
