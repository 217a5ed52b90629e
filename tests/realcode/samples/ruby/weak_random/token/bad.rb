class Invitation
  def initialize
    @token = Array.new(20) { ('a'..'z').to_a.sample }.join
  end
end
