require 'jwt'

SIGNING_KEY = '{{password}}'

def sign(user)
  JWT.encode({ sub: user }, SIGNING_KEY, 'HS256')
end
