require 'digest'

class Account
  def password=(text)
    @digest = Digest::SHA1.hexdigest(text)
  end
end
