require 'tempfile'

def export(rows)
  file = Tempfile.create(['export', '.csv'])
  rows.each { |row| file.puts(row) }
  file.path
end
