require 'jwt'

SIGNING_KEY = ENV.fetch('SIGNING_KEY')

def sign(user)
  JWT.encode({ sub: user }, SIGNING_KEY, 'HS256')
end
