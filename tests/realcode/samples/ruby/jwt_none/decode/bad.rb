require 'jwt'

def user(token)
  claims, = JWT.decode(token, nil, false)
  claims['sub']
end
