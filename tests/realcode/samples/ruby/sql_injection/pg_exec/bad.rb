require 'pg'

class Users
  def initialize(connection)
    @connection = connection
  end

  def find(name)
    query = "SELECT * FROM users WHERE name = '" + name + "'"
    @connection.exec(query).first
  end
end
