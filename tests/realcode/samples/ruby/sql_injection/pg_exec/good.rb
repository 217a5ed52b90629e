require 'pg'

class Users
  def initialize(connection)
    @connection = connection
  end

  def find(name)
    query = 'SELECT * FROM users WHERE name = $1'
    @connection.exec_params(query, [name]).first
  end
end
