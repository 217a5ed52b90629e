require 'jwt'

def user(token, key)
  claims, = JWT.decode(token, key, true, algorithm: 'HS256')
  claims['sub']
end
