require 'openssl'

def seal(key, text)
  cipher = OpenSSL::Cipher.new('aes-256-gcm').encrypt
  cipher.key = key
  iv = cipher.random_iv
  iv + cipher.update(text) + cipher.final + cipher.auth_tag
end
