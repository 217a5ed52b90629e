require 'securerandom'

class Invitation
  def initialize
    @token = SecureRandom.alphanumeric(20)
  end
end
