def export(rows)
  path = '/tmp/export.csv'
  File.open(path, 'w') { |file| rows.each { |row| file.puts(row) } }
  path
end
