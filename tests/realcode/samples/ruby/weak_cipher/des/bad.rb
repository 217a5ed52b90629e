require 'openssl'

def seal(key, text)
  cipher = OpenSSL::Cipher.new('des-ede3-cbc').encrypt
  cipher.key = key
  cipher.update(text) + cipher.final
end
