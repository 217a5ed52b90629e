require 'bcrypt'

class Account
  def password=(text)
    @digest = BCrypt::Password.create(text)
  end
end
