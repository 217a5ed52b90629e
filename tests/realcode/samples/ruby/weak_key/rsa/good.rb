require 'openssl'

KEY = OpenSSL::PKey::RSA.generate(3072)
File.write('key.pem', KEY.to_pem, perm: 0o600)
