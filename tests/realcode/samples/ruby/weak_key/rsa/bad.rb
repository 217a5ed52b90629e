require 'openssl'

KEY = OpenSSL::PKey::RSA.generate(1024)
File.write('key.pem', KEY.to_pem, perm: 0o600)
